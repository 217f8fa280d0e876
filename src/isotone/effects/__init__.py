"""What a fitted score does with each feature: effects, importances, and reasons for single rows.

- asks any function of rows, or any fitted estimator; looks into none;
- one-dimensional effects move one feature and hold the rest, which is what a direction is about.
"""

from ._curves import Effect as Effect
from ._curves import Effects as Effects
from ._curves import effects as effects
from ._importances import Importances as Importances
from ._importances import importances as importances
from ._reasons import reasons as reasons
from ._told import Reason as Reason
from ._told import Reasons as Reasons
