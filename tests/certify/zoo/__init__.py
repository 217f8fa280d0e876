"""Models to be judged, each with its story: those that look monotone and are not, and those that are.

A new model is a row in one of the tables; the tests in `test_zoo.py` follow from the row.
"""

from __future__ import annotations

from . import activations, bytes_and_sets, graphs, interpolation, mixing, networks, traps
from ._case import FALLS as FALLS
from ._case import HIDDEN as HIDDEN
from ._case import OPEN as OPEN
from ._case import RISES as RISES
from ._case import STUCK as STUCK
from ._case import Case as Case

TABLES = (activations, bytes_and_sets, graphs, interpolation, mixing, networks, traps)
ZOO: dict[str, Case] = {}
for _table in TABLES:
    for _name, _case in _table.MODELS.items():
        if _name in ZOO:
            raise ValueError(f"two models of the zoo are called {_name!r}")
        ZOO[_name] = _case
