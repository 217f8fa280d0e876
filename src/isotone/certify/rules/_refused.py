"""Operators that are not monotone, or not functions, by their nature: refused by name, with the reason."""

from __future__ import annotations

from typing import Any

from .._facts import Refused
from ._table import Result, Rule, Site, enter

GATES = "recurrent gates are not monotone: a gate that opens also lets through what lowers the state"
CHOICE = "it gives a place, and places are no order"
LOBES = "bicubic weights are negative in places"
SHAPE = "how many elements it gives depends on the inputs"
SPREAD = "a spread falls when a small element rises"

# fmt: off
REFUSED: dict[str, str] = {
    "aten.gru.input": GATES,            "aten.gru.data": GATES,             "aten.gru_cell.default": GATES,
    "aten.lstm.input": GATES,           "aten.lstm.data": GATES,            "aten.lstm_cell.default": GATES,
    "aten.argmax.default": CHOICE,      "aten.argmin.default": CHOICE,      "aten.argsort.default": CHOICE,
    "aten.argsort.stable": CHOICE,
    "aten.mode.default": "the most frequent value may fall as others rise",
    "aten.upsample_bicubic2d.vec": LOBES, "aten.upsample_bicubic2d.default": LOBES,
    "aten.masked_select.default": SHAPE, "aten.nonzero.default": SHAPE,
    "aten.masked_scatter.default": "which element goes where depends on the mask before it",
    "aten.var.correction": SPREAD,      "aten.var_mean.correction": SPREAD, "aten.std.correction": SPREAD,
    "aten.as_strided.default": "it reads memory by its layout, which a trace does not fix",
    "aten._cdist_forward.default": "a distance falls when the smaller of two coordinates rises",
    "aten._native_batch_norm_legit.no_stats": "it normalises by the statistics of what it is given",
}
# fmt: on


def _refuse(name: str, reason: str) -> Rule:
    def refuse(site: Site, *args: Any, **kwargs: Any) -> Result:
        raise Refused(reason)

    enter(name, refuse)
    return refuse


for _name, _reason in REFUSED.items():
    _refuse(_name, _reason)
