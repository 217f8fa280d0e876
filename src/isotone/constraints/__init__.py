"""Keep weights inside their sets while any optimizer trains them.

- works after each `optimizer.step()`, whatever the optimizer;
- never changes a tensor that is already inside;
- knows sets and tensors, not networks.
"""

from ._base import Constraint as Constraint
from ._elementwise import Between as Between
from ._elementwise import NonNegative as NonNegative
from ._elementwise import NonPositive as NonPositive
from ._elementwise import Sign as Sign
from ._holding import constrain as constrain
from ._holding import constraints_of as constraints_of
from ._holding import project_ as project_
from ._holding import remove_constraint as remove_constraint
from ._holding import violations as violations
