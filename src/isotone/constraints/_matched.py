"""What a pattern matched, to be read; and what it may have matched or missed by mistake."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Collection, Iterable

from torch import nn

from ..errors import listed
from ._base import Constraint

Row = tuple[str, tuple[int, ...], str, Constraint, float]  # name, shape, layer, constraint, how far it was moved

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


class Matched(tuple[str, ...]):
    """The names that a pattern matched: a tuple of them, and a table when printed."""

    rows: tuple[Row, ...]

    def __new__(cls, rows: Iterable[Row]) -> Matched:
        """Of rows: name, shape, layer, constraint, how far outside it was."""
        rows = tuple(rows)
        matched = super().__new__(cls, [name for name, *_ in rows])
        matched.rows = rows
        return matched

    def __getnewargs__(self) -> tuple[tuple[Row, ...]]:
        return (self.rows,)

    def __str__(self) -> str:
        cells = [
            (
                name,
                " x ".join(map(str, shape)) or "number",
                layer,
                repr(held),
                f"was {off:.3g} outside" if off > 0 else "",
            )
            for name, shape, layer, held, off in self.rows
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, (*widths, 0), strict=True)) for row in cells)
        return "\n".join(line.rstrip() for line in lines)


def is_raw(name: str) -> bool:
    """Whether it is a tensor that a parametrization computes a weight from."""
    return "parametrizations" in name.split(".")


def say_what_a_glob_missed(
    model: nn.Module, patterns: Collection[str], found: Collection[str], without: Collection[str]
) -> None:
    """Warn of what a glob has caught beside the layers it was meant for, and of weights whose names it cannot match."""
    pattern = ", ".join(patterns)
    by_glob = [name for name in found if name not in patterns]
    layers = {name: model.get_submodule(name.rpartition(".")[0]) for name in by_glob}
    odd = [name for name, layer in layers.items() if isinstance(layer, _NORMS + _EMBEDDINGS)]
    if odd and len(odd) < len(by_glob):
        warnings.warn(
            f"{pattern!r} also matches weights of normalisation layers or embeddings. {listed(odd, 'name')} "
            "Name them beside the pattern if they are meant, or leave them out with exclude=.",
            stacklevel=3,
        )
    # "classify.*.weight" asks for weights; "in_proj_weight" and "weight_ih_l0" are some by another name.
    globs = [p for p in patterns if p.endswith("weight") and any(c in p for c in "*?[")]
    missed, computed = [], []
    for name, p in model.named_parameters(remove_duplicate=False):
        if name in found or p.ndim < 2 or any(fnmatch.fnmatchcase(name, each) for each in without):
            continue
        path, dot, leaf = name.rpartition(".")
        if is_raw(name):
            weight = name.replace("parametrizations.", "", 1).rpartition(".")[0]
            computed += [weight] * any(fnmatch.fnmatchcase(weight, glob) for glob in globs)
        elif leaf != "weight" and "weight" in leaf:
            missed += [name] * any(fnmatch.fnmatchcase(f"{path}{dot}weight", glob) for glob in globs)
    if computed:
        warnings.warn(
            f"{pattern!r} does not hold weights that a parametrization computes. "
            f"{listed(sorted(set(computed)), 'name')} Give them a constraint as a parametrization, or leave them "
            "out with exclude='*parametrizations*'.",
            stacklevel=3,
        )
    if missed:
        warnings.warn(
            f"{pattern!r} does not match all that are weights. {listed(missed, 'name')} Add '*weight*' to reach them, "
            "or leave them out with exclude=.",
            stacklevel=3,
        )
