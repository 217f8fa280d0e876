"""Which parts of torch may stand where a network must rise, and why the others may not.

- a batch norm with fixed statistics and a scale of at least 0 is an increasing map of each number by itself;
- what normalises by the row that it is given does not rise; and some activations dip: they are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..constraints import NonNegative, constrain
from ..directions import matching
from ..errors import BadInput

_ROW = "it divides by the spread of the row itself, so a number that rises lowers the others"
_DIPS = "it falls before it rises"
_SHARES = "a logit that rises lowers the other classes"
_ANGLE = "it divides by the length of what it is given"

# fmt: off
UNSAFE = {
    # part                        why it does not rise    what does instead
    nn.LayerNorm:                 (_ROW,                  "MonotoneBatchNorm"),
    nn.GroupNorm:                 (_ROW,                  "MonotoneBatchNorm"),
    nn.RMSNorm:                   (_ROW,                  "MonotoneBatchNorm"),
    nn.LocalResponseNorm:         (_ROW,                  "MonotoneBatchNorm"),
    nn.modules.instancenorm._InstanceNorm: (_ROW,         "MonotoneBatchNorm"),
    nn.GELU:                      (_DIPS,                 "ReLU, ELU, softplus or Saturating"),
    nn.SiLU:                      (_DIPS,                 "ReLU, ELU, softplus or Saturating"),
    nn.Mish:                      (_DIPS,                 "ReLU, ELU, softplus or Saturating"),
    nn.Hardswish:                 (_DIPS,                 "ReLU, ELU, softplus or Saturating"),
    nn.Softmax:                   (_SHARES,               "one logit per class with a sigmoid each"),
    nn.LogSoftmax:                (_SHARES,               "one logit per class with a sigmoid each"),
    nn.Softmax2d:                 (_SHARES,               "one logit per class with a sigmoid each"),
    nn.Softmin:                   ("it falls with its own logit", "one logit per class with a sigmoid each"),
    nn.GLU:                       ("where a number is negative, it falls as its gate opens", "Saturating"),
    nn.CosineSimilarity:          (_ANGLE,                "a layer with signed weights"),
    nn.MultiheadAttention:        ("its weights are a softmax", "a sum or a maximum"),
}
# fmt: on


class MonotoneBatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` whose scale is kept at least 0: in evaluation an increasing map of each number by itself.

    In training mode it divides by the statistics of the batch, and the rows of a batch move each other: the guarantee
    is one of evaluation mode, and `certify` gives none for a model in training mode.

    Args:
        features, eps, momentum: as in `nn.BatchNorm1d`. The scale is always learned and statistics are always kept:
            without either there would be nothing that makes the map one and the same for every batch.

    Shapes: (rows, features), or (rows, features, places) -> the same. Cost: as `nn.BatchNorm1d`.

    >>> norm = isotone.nn.MonotoneBatchNorm(3).eval()
    >>> isotone.violations(norm)
    {'weight': 0.0}
    """

    def __init__(self, features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(features, eps=eps, momentum=momentum, affine=True, track_running_stats=True)
        constrain(self, "weight", NonNegative())


def refuse_unsafe(model: nn.Module, free: Iterable[str] = ()) -> None:
    """Raise if a model has parts by which a score could fall, with each name and its reason.

    It reads modules, not what `forward` does with them: functions such as `F.layer_norm` are not seen. Passing is no
    proof; `certify` gives one.

    Args:
        model: any module.
        free: names or globs of submodules that no feature with a direction passes through; they may hold anything.

    Raises:
        BadInput: normalisation by the row (layer, group, instance, RMS norm), a batch norm that keeps no statistics or
            has a negative scale, activations that dip (GELU, SiLU, Mish, Hardswish), softmax and its kin.
        NoMatch: `free` names no submodule.

    >>> refuse = isotone.nn.refuse_unsafe
    >>> refuse(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.BatchNorm1d(3)))
    >>> refuse(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)))
    Traceback (most recent call last):
        ...
    isotone.errors.BadInput: refuse_unsafe: '1' is a LayerNorm, and it divides by the spread of the row itself, ...
    """
    modules = dict(model.named_modules())
    without = [name for pattern in free for name in matching(pattern, modules, "refuse_unsafe(free=...)", "submodule")]
    faults = []
    for name, module in modules.items():
        if any(name == one or name.startswith(f"{one}.") for one in without):
            continue
        reason, instead = _fault(module)
        if reason:
            faults.append((f"{name!r} is a {type(module).__name__}" if name else f"a {type(module).__name__} came",
                           reason, instead))  # fmt: skip
    if faults:
        raise BadInput(
            "refuse_unsafe",
            "; ".join(f"{what}, and {reason}" for what, reason, _ in faults[:5]),
            f"{' / '.join(dict.fromkeys(instead for *_, instead in faults[:5]))} would be right",
            "If no feature with a direction passes through it, name it in free=.",
        )


def _fault(module: nn.Module) -> tuple[str, str]:
    """Why a part may fall and what to use instead; two empty strings if it has none that is known."""
    for kind, fault in UNSAFE.items():
        if isinstance(module, kind):
            return fault
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        if module.running_mean is None:
            return "it keeps no statistics, so rows of a batch move each other also in evaluation", "MonotoneBatchNorm"
        # NaN is not at least 0 either.
        if isinstance(module.weight, torch.Tensor) and not bool((module.weight >= 0).all()):
            return "a scale of it is negative", "MonotoneBatchNorm"
    return "", ""
