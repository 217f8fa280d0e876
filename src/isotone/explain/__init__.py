"""Why an alarm: what raised the score, the few facts that alone suffice, and how many removals end it.

- for a score that never falls along its directions, "suffice" is a proof: what else is added cannot undo the alarm;
- knows scores as a function of rows, and no networks.
"""

from ._reasons import Reason as Reason
from ._reasons import importance as importance
from ._reasons import sufficient_reasons as sufficient_reasons
from ._removals import RemovalCost as RemovalCost
from ._removals import removal_costs as removal_costs
from ._shares import MOST_REASONS as MOST_REASONS
from ._shares import Explanation as Explanation
from ._shares import explain as explain
