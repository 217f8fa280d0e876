"""Before any training: how much detection that no attacker can undo do these features support at all?

- a bad row below a benign one stays an alarm under all moves only if that benign row is one too: whatever the model;
- how much the best choice of benign rows to give up buys is bounded from both sides, at each false-alarm rate;
- knows rows and directions, and no models.
"""

from ._headroom import Headroom as Headroom
from ._headroom import Limit as Limit
from ._headroom import headroom as headroom
from ._why import Costly as Costly
from ._why import Loose as Loose
