"""Weight constraints, provably monotone networks, and detectors that additions cannot evade, for PyTorch."""

from importlib import import_module as _import_module
from typing import Any as _Any

from . import nn as nn
from ._version import __version__ as __version__
from .certify import Certificate as Certificate
from .certify import Check as Check
from .certify import check as check
from .certify import compare as compare
from .constraints import Between as Between
from .constraints import Constraint as Constraint
from .constraints import Decreasing as Decreasing
from .constraints import Increasing as Increasing
from .constraints import Intersection as Intersection
from .constraints import L1Ball as L1Ball
from .constraints import LinfBall as LinfBall
from .constraints import Masked as Masked
from .constraints import MaxNorm as MaxNorm
from .constraints import MinMaxNorm as MinMaxNorm
from .constraints import NonNegative as NonNegative
from .constraints import NonPositive as NonPositive
from .constraints import Sign as Sign
from .constraints import Simplex as Simplex
from .constraints import UnitNorm as UnitNorm
from .constraints import constrain as constrain
from .constraints import constraints_of as constraints_of
from .constraints import from_keras as from_keras
from .constraints import parametrize as parametrize
from .constraints import project_ as project_
from .constraints import remove_constraint as remove_constraint
from .constraints import suspended as suspended
from .constraints import violations as violations
from .errors import require as _require
from .nn import initialize_ as initialize_
from .suggesting import Suggestion as Suggestion
from .suggesting import suggest as suggest
from .threat import Threat as Threat
from .verdict import Domain as Domain
from .verdict import Verdict as Verdict
from .verdict import Witness as Witness

# Last: from here on `isotone.certify` is the function, and its room is reached as `from isotone.certify import ...`.
from .certify import certify as certify  # isort: skip

# What needs scikit-learn or pandas, or half of the house, is imported when it is first asked for.
_LATER = {
    "Audit": "auditing",
    "audit": "auditing",
    "Detector": "detector",
    "MonotoneClassifier": "estimators",
    "MonotoneRegressor": "estimators",
    "Importances": "effects",
    "Reasons": "effects",
    "importances": "effects",
    "reasons": "effects",
    "Price": "pricing",
    "SuggestedDirections": "pricing",
    "price": "pricing",
    "suggest_directions": "pricing",
}

_ROOMS = (
    "attack",
    "auditing",
    "bounds",
    "data",
    "detector",
    "effects",
    "encoding",
    "estimators",
    "evaluation",
    "explain",
    "files",
    "floors",
    "graphs",
    "headroom",
    "offsets",
    "pricing",
    "progress",
)


def __getattr__(name: str) -> _Any:
    if name in _ROOMS:
        return _import_module(f"{__name__}.{name}")
    if name in _LATER:
        if _LATER[name] in ("detector", "estimators"):
            _require("sklearn", "tables")
        return getattr(_import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
