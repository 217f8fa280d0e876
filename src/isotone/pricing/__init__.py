"""What a direction costs on given data, and which directions the data suggest.

- with and without each direction, on the same splits; nothing is measured on rows that were fitted;
- every number has its interval, every warning says what it does not show;
- takes any scikit-learn estimator with `monotonic_cst` or `monotone_constraints`.
"""

from ._price import price as price
from ._suggest import suggest_directions as suggest_directions
from ._suggestions import Suggested as Suggested
from ._suggestions import SuggestedDirections as SuggestedDirections
from ._told import Cost as Cost
from ._told import Price as Price
