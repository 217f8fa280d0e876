"""What to change in an existing model so that its score moves one way only: read, written down, tried on a copy.

- nothing that is handed in is changed;
- the lines of a plan are the lines that were tried; PROVED stands there only if `certify` has said it.
"""

from ._plan import Step as Step
from ._plan import Suggestion as Suggestion
from ._suggest import suggest as suggest
