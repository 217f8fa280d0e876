"""What the prover knows of each operation: one row per overload, in files by class."""

from . import (  # noqa: F401 (they enter rows)
    _arithmetic,
    _conditional,
    _curves,
    _linear,
    _norms,
    _order,
    _placing,
    _products,
    _special,
    _structural,
    _unary,
)
from ._refused import REFUSED as REFUSED
from ._table import DISCRETE as DISCRETE
from ._table import MOVERS as MOVERS
from ._table import RULES as RULES
from ._table import Rule as Rule
from ._table import Site as Site

# Raised whenever a row may judge differently; it stands in every certificate.
RULES_VERSION = "4"
