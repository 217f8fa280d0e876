"""Keep weights inside their sets while any optimizer trains them.

- works after each `optimizer.step()`, whatever the optimizer;
- never changes a tensor that is already inside;
- knows sets and tensors, not networks.
"""

from ._base import Constraint as Constraint
from ._combined import Intersection as Intersection
from ._declaring import constrain as constrain
from ._declaring import constraints_of as constraints_of
from ._declaring import project_ as project_
from ._declaring import remove_constraint as remove_constraint
from ._declaring import suspended as suspended
from ._declaring import violations as violations
from ._elementwise import Between as Between
from ._elementwise import LinfBall as LinfBall
from ._elementwise import NonNegative as NonNegative
from ._elementwise import NonPositive as NonPositive
from ._elementwise import Sign as Sign
from ._keras import from_keras as from_keras
from ._masked import Masked as Masked
from ._matched import Matched as Matched
from ._norms import MaxNorm as MaxNorm
from ._norms import MinMaxNorm as MinMaxNorm
from ._norms import UnitNorm as UnitNorm
from ._ordered import Decreasing as Decreasing
from ._ordered import Increasing as Increasing
from ._parametrizing import parametrize as parametrize
from ._simplex import L1Ball as L1Ball
from ._simplex import Simplex as Simplex
from ._stepping import after_step as _after_step  # noqa: F401 (the hook: without it nothing is enforced)
