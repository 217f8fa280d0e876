"""Rounding: how far a stored sum may be off, and the neighbours on the safe side."""

from __future__ import annotations

import torch
from torch import Tensor

try:
    from torch._C._functorch import is_batchedtensor as _batched  # under vmap a flag is many, and none can be asked
except ImportError:

    def _batched(tensor: Tensor) -> bool:
        """Another torch: vmap is refused by torch itself then."""
        return False


NARROW = (torch.bfloat16, torch.float16)


def wide(w: Tensor) -> torch.dtype:
    """The type to sum up in: float64 where the device has it."""
    return torch.float32 if w.device.type == "mps" else torch.float64


def slack(dtype: torch.dtype, entries: int) -> float:
    """How far, relatively, a sum or a length may miss its target through the rounding of what is stored.

    Entries that are rounded to nearest move a sum of one sign, or a length, by at most eps / 2; two such roundings are
    allowed for. In float64 the sum itself is rounded too, pairwise: by about log2(entries) eps.

    >>> slack(torch.float32, 1000) == 2 * torch.finfo(torch.float32).eps
    True
    """
    eps = torch.finfo(dtype).eps
    return eps * (4 + entries.bit_length()) if dtype is torch.float64 else 2 * eps


def toward_zero(exact: Tensor, dtype: torch.dtype, *, away: bool = False) -> Tensor:
    """Cast to a narrower type, each entry to its neighbour on the side of zero, or on the other."""
    y = exact.to(dtype)
    if away:
        out = torch.copysign(torch.full_like(y, torch.inf), exact.to(dtype))
        return torch.where(y.to(exact.dtype).abs() < exact.abs(), torch.nextafter(y, out), y)
    return torch.where(y.to(exact.dtype).abs() > exact.abs(), torch.nextafter(y, torch.zeros_like(y)), y)


def settled(flags: Tensor, *, wait: bool = False) -> bool:
    """Whether all flags are known to be set, so that what follows may be spared.

    To ask a GPU is to wait for it: that is done only with `wait`, where rounds of work are at stake, and never while a
    CUDA graph is recorded, or under `vmap`. There nothing is known, and the work is done.
    """
    if flags.is_meta or _batched(flags) or (flags.is_cuda and (not wait or torch.cuda.is_current_stream_capturing())):
        return False
    return bool(flags.all())


def tame(metric: Tensor) -> bool:
    """Whether float32 is fine enough for the ratios of a metric."""
    return settled(metric.amin() >= 1e-6 * metric.amax(), wait=True)
