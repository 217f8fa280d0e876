"""What the prover knows of each operation: one row per overload, in files by class."""

from . import _arithmetic, _conditional, _linear, _order, _special, _structural, _unary  # noqa: F401 (they enter rows)
from ._table import DISCRETE as DISCRETE
from ._table import MOVERS as MOVERS
from ._table import RULES as RULES
from ._table import Rule as Rule
from ._table import Site as Site

# Raised whenever a row may judge differently; it stands in every certificate.
RULES_VERSION = "2"
