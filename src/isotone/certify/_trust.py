"""Is the graph the function? And is the model a function at all?

A trace bakes in what Python does outside of tensors: counters, clocks, branches on flags. Two calls of the model and
one of the graph, on the same inputs, must agree.
"""

from __future__ import annotations

import random
import sys
from types import FrameType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ._capture import Capture
from ._question import Question
from ._search import Inputs, Search, scores
from ._state import Kept

DRAWS = 4
ROUNDINGS = 64 * torch.finfo(torch.float32).eps


def probes(question: Question, search: Search) -> list[Inputs]:
    """The example, random points of the domain, its corners, and 0 where it is inside."""
    drawn = [search.start(k) for k in range(DRAWS)]

    def at(value: Tensor, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        if not x.dtype.is_floating_point:
            return x
        return torch.minimum(torch.maximum(value, low), high).to(x.dtype).to(x.device)

    boxes = list(zip(question.inputs, question.low, question.high, strict=True))
    edges = [tuple(at(torch.full_like(low, v), x, low, high) for x, low, high in boxes) for v in (-3.0, 0.0, 3.0)]
    return [question.inputs, *drawn, *edges]


def steady(model: nn.Module, question: Question, search: Search, kept: Kept) -> str:
    """'' if two calls agree and leave their inputs alone; else the reason why no pair of calls can be trusted."""
    for inputs in probes(question, search):
        copies = tuple(x.clone() for x in inputs)
        try:
            with torch.no_grad(), _Watch() as watch:
                first = answers(model(*copies))
            second = _called(model, inputs)
        except Exception:
            continue
        if watch.seen:
            return watch.seen
        if any(not torch.equal(a, b) for a, b in zip(copies, inputs, strict=True)):
            return "it writes into its inputs, so a call changes what the caller holds"
        if not agree(first, second, 1e-6 if _coarse(question) else 1e-13):
            return "two calls on the same input disagree: it is random, or it keeps state between calls"
    return ""


def faithful(model: nn.Module, traced: Capture, question: Question, search: Search) -> str:
    """'' if the graph gives what the model gives; else why it cannot stand for it."""
    both: list[tuple[list[Tensor], list[Tensor]]] = []
    for inputs in probes(question, search):
        try:
            with torch.no_grad(), _Watch() as watch:
                made = model(*(x.clone() for x in inputs))
            expected = answers(made)
        except Exception:
            continue
        if watch.read:
            return watch.read
        try:
            got = answers(traced.run(tuple(x.clone() for x in inputs)))
        except Exception as fault:
            return f"the exported graph fails where the model does not ({type(fault).__name__})"
        if not agree(expected, got, 1e-4 if _coarse(question) else 1e-9):
            return OTHER
        both.append((expected, got))
    if not all(_moves_alike([(a[k], b[k]) for a, b in both]) for k in range(len(both[0][0]) if both else 0)):
        return OTHER
    return ""


OTHER = "the exported graph does not compute what the model computes"


def _moves_alike(pairs: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether the graph moves as the model does: beside 1e5, a score that rises by 1 and one that falls are alike.

    So the gap is also measured by how far the scores of all probes lie apart, and by the rounding of the largest.
    """
    if len({x.shape for pair in pairs for x in pair}) != 1 or not pairs[0][0].numel():
        return True
    a, b = (torch.stack([pair[side].nan_to_num(0.0, 0.0, 0.0) for pair in pairs]) for side in (0, 1))
    spread = float((a.amax(0) - a.amin(0)).max())
    return bool(((a - b).abs() <= 1e-3 * spread + ROUNDINGS * torch.maximum(a.abs(), b.abs()).max()).all())


def _coarse(question: Question) -> bool:
    return any(x.dtype.is_floating_point and x.dtype is not torch.float64 for x in question.inputs)


class _Watch(TorchFunctionMode):
    """Sees what a model does beside its tensors: it draws or reads numbers in Python, or puts other data into a tensor,
    or asks in which mode it is called.

    A draw that matters once in a thousand calls, a write that export loses, and a branch on a number that export does
    not see (behind `try`, or `is_compiling`) show in no comparison of a few calls; a branch on a mode shows in none.
    """

    def __enter__(self) -> Self:
        self.seen = self.read = ""
        self._random = _generators()
        self._profiler = sys.getprofile()
        if self._profiler is None:
            sys.setprofile(self._called)
        else:
            self.read = "a profiler runs, so it cannot be seen whether it asks how it is called"
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *fault: Any) -> None:
        super().__exit__(*fault)  # type: ignore[no-untyped-call]
        if self._profiler is None:
            sys.setprofile(None)
        if _generators() != self._random:
            self.seen = "it draws random numbers outside of PyTorch, so a trace holds one draw"

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name == "__set__" and getattr(function, "__self__", None) is _DATA:
            self.seen = "it puts new data into a tensor behind PyTorch's back (.data = ...), which a trace loses"
        if name in READS:
            self.read = f"it reads numbers of tensors in Python ({name}), where a trace does not follow"
        told = getattr(getattr(function, "__self__", None), "__name__", "") if name == "__get__" else name
        if told in TOLD and not _of_torch(sys._getframe(1)):
            self.read = ASKS.format(told)
        return function(*args, **(kwargs or {}))

    def _called(self, frame: FrameType, event: str, what: Any) -> None:
        name, caller = "", frame
        if event == "c_call":
            name = what.__name__
        elif event == "call" and _of_torch(frame) and frame.f_back is not None:
            name, caller = frame.f_code.co_name, frame.f_back
        if name in MODES and not _of_torch(caller):
            self.read = ASKS.format(name)


_DATA = torch.Tensor.data
# How Python gets at the numbers of a tensor, or at how many of them there are of a kind.
READS = frozenset((
    "__bool__", "__float__", "__int__", "__index__", "__complex__", "__contains__", "__array__", "__dlpack__",
    "__repr__", "__format__", "item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "data_ptr", "storage",
    "untyped_storage", "_typed_storage", "nonzero", "argwhere", "unique", "unique_consecutive", "masked_select",
))  # fmt: skip
ASKS = "it asks in Python how it is called ({}): with another answer it may be another function"
# What a tensor tells of how a model is called, and what PyTorch tells of it. A certificate names shapes and dtypes.
TOLD = frozenset((
    "requires_grad", "is_leaf", "grad_fn", "grad", "retains_grad", "_base", "_is_view", "_version", "is_inference",
    "is_contiguous", "stride", "storage_offset", "is_pinned", "is_conj", "is_neg",
))  # fmt: skip
MODES = frozenset((
    "is_grad_enabled", "is_inference_mode_enabled", "is_anomaly_enabled", "is_autocast_enabled",
    "is_autocast_cpu_enabled", "is_autocast_cache_enabled", "is_any_autocast_enabled", "get_autocast_dtype",
    "get_autocast_cpu_dtype", "get_autocast_gpu_dtype", "get_default_dtype", "get_default_device",
    "get_float32_matmul_precision", "are_deterministic_algorithms_enabled", "get_num_threads", "is_compiling",
    "is_dynamo_compiling", "is_exporting", "is_scripting", "is_tracing", "_is_tracing", "_get_tracing_state",
    "is_in_onnx_export", "is_batchedtensor",
))  # fmt: skip


def _of_torch(frame: FrameType) -> bool:
    """Whether this is code of PyTorch, or of PyTorch Geometric: trusted to compute one function in all modes."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("torch", "torch_geometric")


def _generators() -> list[Any]:
    """The state of Python's and NumPy's global generators."""
    numpy = sys.modules.get("numpy")
    return [random.getstate(), repr(numpy.random.get_state(legacy=False)["state"]) if numpy else None]


def answers(output: Any) -> list[Tensor]:
    """The tensors that a model returned, in float64: beside a large one, a small one counts too."""
    scores(output)  # complains of what is no score
    return [t.detach().to("cpu", torch.float64) for t in tree_leaves(output) if isinstance(t, Tensor)]


def _called(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    with torch.no_grad():
        return answers(model(*(x.clone() for x in inputs)))


def agree(a: list[Tensor], b: list[Tensor], tolerance: float) -> bool:
    """Whether two answers are the same up to rounding, column by column."""
    return len(a) == len(b) and all(_alike(x, y, tolerance) for x, y in zip(a, b, strict=True))


def _alike(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Relative to the largest entry of the same column: what one column gets wrong, another must not hide."""
    if a.shape != b.shape:
        return False
    finite = torch.isfinite(a) & torch.isfinite(b)
    same = (a == b) | (a.isnan() & b.isnan())
    if not bool((finite | same).all()):
        return False
    gap = torch.where(finite, (a - b).abs(), 0.0)
    size = torch.where(finite, torch.maximum(a.abs(), b.abs()), 0.0)
    if gap.dim() < 2:
        return not gap.numel() or float(gap.max()) <= tolerance * float(size.max())
    return not gap.numel() or bool((gap.amax(0) <= tolerance * size.amax(0)).all())
