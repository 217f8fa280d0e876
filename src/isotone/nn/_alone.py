"""Encoders that look at each row by itself, by construction and not by trial: ours, and others run on one row alone.

The certificates of graphs and of bytes ask nothing of an encoder's weights, since what a node or a window says does not
change when others are added. That stands or falls with this file.
"""

from __future__ import annotations

import textwrap

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.utils.parametrize import is_parametrized

from ..errors import BadInput
from ._bytes_encoder import GatedConvolution
from ._bytes_words import Words
from ._dense import MonotoneLinear, MonotoneMLP, Saturating
from ._graphs_layer import MOST, NodeEncoder

# Each row of what these make depends on the same row of what they are given, whatever their weights are.
OURS = (GatedConvolution, Words, NodeEncoder)
PARTS = (*OURS, MonotoneLinear, MonotoneMLP, Saturating, nn.Linear, nn.Embedding, nn.ReLU, nn.Sequential)

# fmt: off
MIXES = {
    # part                               why
    nn.modules.batchnorm._BatchNorm:     "it mixes the rows of a batch",
    nn.modules.dropout._DropoutNd:       "it draws anew at each call",
    nn.RReLU:                            "it draws anew at each call",
}
# fmt: on


class RowByRow(nn.Module):
    """An encoder, run on each row as if there were no other, by `torch.vmap`.

    Whatever its code does with the rows it is given, it is given one: it cannot see a second row, count rows, draw, or
    keep statistics of them. What it says is made finite: NaN, such as 0 / 0 of a row that is all the same, counts as 0,
    and beyond 1e12 there is nothing; else one such row could hide what all others say.

    Args:
        encoder: any module (n, ...) -> (n, width).

    Shapes: (n, ...) -> (n, width); n may be 0.

    >>> rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> mixing = nn.Softmax(dim=0)  # over the rows, of which it now sees one
    >>> isotone.nn.RowByRow(mixing)(rows)
    tensor([[1., 1.],
            [1., 1.]])
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, rows: Tensor) -> Tensor:
        """The numbers of each row."""
        found: Tensor = torch.vmap(lambda row: self.encoder(row[None])[0])(rows)
        most = min(MOST, torch.finfo(found.dtype).max)
        return found.nan_to_num(0.0).clamp(-most, most)


def alone(encoder: nn.Module, example: Tensor, where: str, what: str) -> tuple[nn.Module, int]:
    """The encoder, in `RowByRow` where it is not ours, and its width; refuses what it would make something else of.

    Args:
        example: some rows, (n, ...).
        where, what: for messages: who asks, and what the rows are, in the plural.

    Raises:
        BadInput: batch norms and dropout, by name; what `torch.vmap` cannot run; what gives a row other numbers beside
            other rows; outputs that are not (n, width) of floats.
    """
    right = f"anything that looks at one of the {what} alone is right, a layer norm too"
    for name, part in encoder.named_modules():
        for kind, reason in MIXES.items():
            if isinstance(part, kind):
                said = f"{name!r} is a {type(part).__name__}" if name else f"a {type(part).__name__} came"
                raise BadInput(f"{where}, encoder", f"{said}, and {reason}", right)
    # Whether one of ours still is what it was made is asked by the certificates, which weights and hooks may change.
    found = encoder if type(encoder) in OURS else RowByRow(encoder)
    some = example.to(next((p.device for p in encoder.parameters()), example.device))
    many = some.repeat(40, *[1] * (some.dim() - 1))  # some count rows
    with torch.no_grad():
        together = encoder(some)
        if together.ndim != 2 or len(together) != len(some) or not together.is_floating_point():
            came = f"it made {tuple(together.shape)} of {together.dtype} from {len(some)} {what}"
            raise BadInput(f"{where}, encoder", came, f"({len(some)}, width) of floats is right")
        others = [encoder(many)[-len(some) :], torch.cat([encoder(some[:2]), encoder(some[2:])])]
        near = 1e-3 * float(together.nan_to_num(0.0, 0.0, 0.0).abs().max()) + 1e-30
        if not all(torch.allclose(other, together, rtol=0.0, atol=near, equal_nan=True) for other in others):
            came = f"one of the {what} got other numbers when other {what} stood beside it, or at another time"
            raise BadInput(f"{where}, encoder", came, right)
        try:
            found(some)
        except (RuntimeError, ValueError) as error:
            came = f"torch.vmap cannot run it on the {what} one by one ({textwrap.shorten(str(error), 160)})"
            raise BadInput(f"{where}, encoder", came, right) from error
    return found, int(together.shape[1])


def why_not_alone(encoder: nn.Module, known: tuple[type[nn.Module], ...] = OURS) -> str:
    """Why an encoder, of the kinds that are known, is not known to look at each row by itself; empty where it is.

    >>> isotone.nn._alone.why_not_alone(nn.Linear(2, 1))
    'Linear is not known to look at each row by itself'
    """
    if type(encoder) is RowByRow:
        return code_of_its_own(encoder)  # within it there is only one row
    if not all(bool(held.isfinite().all()) for held in (*encoder.parameters(), *encoder.buffers())):
        return f"{type(encoder).__name__} holds numbers that are not finite"
    of_weights: set[nn.Module] = set()  # what makes weights never sees a row
    for part in encoder.modules():
        if part in of_weights:
            if type(part).__module__.split(".")[0] not in ("torch", "isotone"):
                return f"{type(part).__name__} makes weights, and isotone knows nothing of how"
            continue
        kind = type(part).__mro__[1] if is_parametrized(part) else type(part)
        if is_parametrized(part):
            of_weights.update(part.parametrizations.modules())  # type: ignore[union-attr]
        if kind not in (PARTS if part is not encoder else known):
            return f"{kind.__name__} is not known to look at each row by itself"
        if isinstance(part, nn.Embedding) and part.max_norm is not None:
            return "an Embedding with max_norm changes its weights when it is read"
        if own := code_of_its_own(part):
            return own
    return ""


def code_of_its_own(part: nn.Module) -> str:
    """What was put on one module, or on all, beside the code of its class: a hook, a method; empty if nothing was."""
    called = type(part).__name__
    if part._forward_hooks or part._forward_pre_hooks or _has_any_global_hook():  # type: ignore[no-untyped-call]
        return f"{called} has a hook, of which isotone knows nothing"
    held = {name: callable(value) and not name.startswith("_") for name, value in vars(part).items()}
    if own := sorted(name for name in held if held[name] or callable(getattr(type(part), name, None))):
        return f"{called} has a {own[0]}() of its own, of which isotone knows nothing"
    return ""
