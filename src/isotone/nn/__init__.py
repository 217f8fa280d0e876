"""Networks whose score moves one way only, for the features that must.

- the weights carry the guarantee, the biases are free;
- every layer works under any optimizer, since its constraint is declared on it (`isotone.constraints`).
"""

from ._dense import MonotoneLinear as MonotoneLinear
from ._dense import MonotoneMLP as MonotoneMLP
from ._dense import Saturating as Saturating
from ._ensemble import MonotoneEnsemble as MonotoneEnsemble
from ._initialize import initialize_ as initialize_
from ._names import Bag as Bag
from ._names import NameMax as NameMax
from ._names import NameSum as NameSum
from ._network import MonotoneNetwork as MonotoneNetwork
from ._ramps import Ramps as Ramps
from ._ramps import quantile_knots as quantile_knots
