"""Every constraint, and what each of them promises."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from isotone.constraints import (
    Between,
    Constraint,
    Decreasing,
    Increasing,
    Intersection,
    L1Ball,
    LinfBall,
    Masked,
    MaxNorm,
    MinMaxNorm,
    NonNegative,
    NonPositive,
    Sign,
    Simplex,
    UnitNorm,
)

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
BITS = {torch.float64: torch.int64, torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
INF, NAN = float("inf"), float("nan")


class Case(NamedTuple):
    constraint: Constraint
    shape: tuple[int, ...]
    inside: Callable[[Tensor], Tensor]  # of the stored numbers as float64, which entries satisfy the constraint
    why: str
    dims: tuple[int, ...] = ()  # the dimensions of one vector, for sets of vectors: `inside` keeps them with length 1


def signs(directions: tuple[int, ...], dim: int) -> Callable[[Tensor], Tensor]:
    def inside(w: Tensor) -> Tensor:
        ways = torch.tensor(directions, dtype=w.dtype).reshape([-1 if i == dim % w.ndim else 1 for i in range(w.ndim)])
        return torch.where(ways == 0, ~w.isnan(), w * ways >= 0)

    return inside


def between(low: list[float], high: list[float]) -> Callable[[Tensor], Tensor]:
    return lambda w: (w >= torch.tensor(low, dtype=w.dtype)) & (w <= torch.tensor(high, dtype=w.dtype))


def masked(mask: list[list[bool]], inside: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def either(w: Tensor) -> Tensor:
        within, free = inside(w), ~torch.tensor(mask) & ~w.isnan()
        return within | (free if within.shape == w.shape else free.all(-1, keepdim=True))

    return either


def both(
    entries: Callable[[Tensor], Tensor], vectors: Callable[[Tensor], Tensor], dim: int
) -> Callable[[Tensor], Tensor]:
    return lambda w: entries(w).all(dim, keepdim=True) & vectors(w)


# Lengths and sums as exact as Python has them, so that the library's own way of summing does not judge itself.
def by_vector(function: Callable[[list[float]], float], w: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    dims = tuple(d % w.ndim for d in ((dim,) if isinstance(dim, int) else dim))
    rest = [d for d in range(w.ndim) if d not in dims]
    rows = w.permute(*rest, *dims).reshape(*[w.shape[d] for d in rest], -1) if w.ndim else w.reshape(1)
    values = torch.tensor([function(row) for row in rows.reshape(-1, rows.shape[-1]).tolist()], dtype=torch.float64)
    return values.reshape([1 if d in dims else w.shape[d] for d in range(w.ndim)])


def length(low: float, high: float, dim: int | tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    def inside(w: Tensor) -> Tensor:
        long = by_vector(lambda row: math.hypot(*row), w, dim)
        off = tolerance(w) if low == high and low else sums(w)
        return (long >= low * (1 - off)) & (long <= high * (1 + off))

    return inside


def absolute(radius: float, dim: int | tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    return lambda w: by_vector(lambda row: math.fsum(map(abs, row)), w, dim) <= radius * (1 + sums(w))


def total(right: float, dim: int | tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    def inside(w: Tensor) -> Tensor:
        close = (by_vector(math.fsum, w, dim) - right).abs() <= right * tolerance(w)
        return close & (w >= 0).all(dim, keepdim=True)  # type: ignore[arg-type]

    return inside


_judged = torch.float64  # the dtype in which the weights that are judged were stored


def tolerance(w: Tensor) -> float:
    """What the docstrings of UnitNorm and Simplex state."""
    eps = torch.finfo(_judged).eps
    return eps * (4 + w.numel().bit_length()) if _judged is torch.float64 else 2 * eps


def sums(w: Tensor) -> float:
    """The rounding of a sum of float64 numbers in float64; none where they were stored in a narrower type."""
    return 1e-15 if _judged is torch.float64 else 0.0


EYE = torch.eye(5, dtype=torch.bool).tolist()


# fmt: off
CASES = [
    # constraint                        shape         what is inside                            why
    Case(NonNegative(),                 (6, 5),       lambda w: w >= 0,                         "an increasing layer"),
    Case(NonNegative(),                 (),           lambda w: w >= 0,                         "a single number"),
    Case(NonNegative(),                 (4, 3, 2, 2), lambda w: w >= 0,                         "a convolution"),
    Case(NonPositive(),                 (6, 5),       lambda w: w <= 0,                         "a decreasing layer"),
    Case(Between(0.0, 0.3),             (6, 5),       lambda w: (w >= 0) & (w <= 0.3),          "0.3 rounds up in bfloat16"),
    Case(Between(0.1, 0.7),             (6, 5),       lambda w: (w >= 0.1) & (w <= 0.7),        "0.1 rounds down in float16"),
    Case(Between(-0.1, 1 / 3),          (6, 5),       lambda w: (w >= -0.1) & (w <= 1 / 3),     "a negative low bound"),
    Case(Between(high=0.1),             (4, 3, 2, 2), lambda w: w <= 0.1,                       "one bound only, above"),
    Case(Between(low=-0.7),             (7,),         lambda w: w >= -0.7,                      "one bound only, below"),
    Case(Between(0.0, 0.0),             (3,),         lambda w: w == 0,                         "a single point"),
    Case(Between(),                     (3,),         lambda w: ~w.isnan(),                     "no bound at all"),
    Case(Between(-1e5, 1e39),           (6, 5),       lambda w: (w >= -1e5) & (w <= 1e39),      "beyond the largest float16 and float32"),
    Case(Between(1e-9, 1e-7),           (3,),         lambda w: (w >= 1e-9) & (w <= 1e-7),      "near the smallest float16"),
    Case(Sign((1, -1, 0, 1, -1)),       (6, 5),       signs((1, -1, 0, 1, -1), -1),             "the inputs of a linear layer"),
    Case(Sign((1, -1, 0), dim=0),       (3, 4),       signs((1, -1, 0), 0),                     "the names of an embedding"),
    Case(Sign((1, -1, 0), dim=1),       (4, 3, 2, 2), signs((1, -1, 0), 1),                     "the channels of a convolution"),
    Case(Sign((0, 0)),                  (3, 2),       signs((0, 0), -1),                        "all free"),
    Case(Sign(()),                      (3, 0),       signs((), -1),                            "no inputs"),
    Case(LinfBall(0.3),                 (6, 5),       lambda w: w.abs() <= 0.3,                 "both sides alike"),
    Case(Between([-INF, 0.1, 0.0, -1.0, 0.3], [0.1, INF, 0.0, 0.7, 0.31]), (6, 5), between([-INF, 0.1, 0.0, -1.0, 0.3], [0.1, INF, 0.0, 0.7, 0.31]), "bounds for every input"),
    Case(Between(low=torch.zeros(6, 1)), (6, 5),      lambda w: w >= 0,                         "bounds as a tensor that broadcasts"),
    Case(Masked(NonNegative(), [[True], [False]]), (2, 5), masked([[True], [False]], lambda w: w >= 0), "one unit of two"),
    Case(Masked(Between(0.1, 0.7), EYE), (5, 5),      masked(EYE, lambda w: (w >= 0.1) & (w <= 0.7)), "a diagonal"),
    Case(Intersection(NonNegative(), LinfBall(0.3)), (6, 5), lambda w: (w >= 0) & (w <= 0.3),   "bounds that meet"),
    Case(Intersection(Sign((1, 0, -1)), Between(-0.1, 0.7)), (4, 3), lambda w: (w >= torch.tensor([0, -0.1, -0.1], dtype=w.dtype)) & (w <= torch.tensor([0.7, 0.7, 0.0], dtype=w.dtype)), "signs and bounds"),
]
VECTORS = [
    # constraint                          shape          what is inside                    why                         dims
    Case(MaxNorm(2.0, dim=-1),            (9, 5),        length(0, 2.0, -1),               "units of a linear layer",  (-1,)),
    Case(MaxNorm(0.3, dim=0),             (5, 9),        length(0, 0.3, 0),                "inputs; 0.3 rounds up",    (0,)),
    Case(MaxNorm(1e-3, dim=(1, 2, 3)),    (9, 3, 2, 2),  length(0, 1e-3, (1, 2, 3)),       "a convolution",            (1, 2, 3)),
    Case(MaxNorm(3.0, dim=(0, 2)),        (3, 9, 2),     length(0, 3.0, (0, 2)),           "dimensions apart",         (0, 2)),
    Case(MaxNorm(3.0, dim=None),          (6, 5),        length(0, 3.0, (0, 1)),           "the whole weight",         (0, 1)),
    Case(MaxNorm(2.0, dim=None),          (),            length(0, 2.0, ()),               "a single number",          ()),
    Case(MaxNorm(0.0, dim=-1),            (9, 5),        length(0, 0.0, -1),               "a single point",           (-1,)),
    Case(MaxNorm(1.0, dim=-1),            (3, 900),     length(0, 1.0, -1),               "long vectors",             (-1,)),
    Case(UnitNorm(dim=-1),                (9, 5),        length(1.0, 1.0, -1),             "a sphere",                 (-1,)),
    Case(UnitNorm(dim=(0, 1)),            (4, 3, 9),     length(1.0, 1.0, (0, 1)),         "dimensions in front",      (0, 1)),
    Case(UnitNorm(dim=-1),                (3, 900),     length(1.0, 1.0, -1),             "long vectors",             (-1,)),
    Case(MinMaxNorm(0.5, 2.0, dim=-1),    (9, 5),        length(0.5, 2.0, -1),             "a shell",                  (-1,)),
    Case(MinMaxNorm(0.0, 2.0, dim=0),     (5, 9),        length(0.0, 2.0, 0),              "no lower bound",           (0,)),
    Case(L1Ball(1.0, dim=-1),             (9, 5),        absolute(1.0, -1),                "an L1 ball",               (-1,)),
    Case(L1Ball(0.3, dim=(0, 2)),         (3, 9, 2),     absolute(0.3, (0, 2)),            "dimensions apart",         (0, 2)),
    Case(L1Ball(0.0, dim=-1),             (9, 5),        absolute(0.0, -1),                "a single point",           (-1,)),
    Case(L1Ball(1.0, dim=-1),             (3, 900),     absolute(1.0, -1),                "long vectors",             (-1,)),
    Case(Simplex(dim=-1),                 (9, 5),        total(1.0, -1),                   "probabilities",            (-1,)),
    Case(Simplex(0.3, dim=0),             (5, 9),        total(0.3, 0),                    "another total",            (0,)),
    Case(Simplex(dim=-1),                 (3, 900),     total(1.0, -1),                   "long vectors",             (-1,)),
    Case(Simplex(dim=-1),                 (4, 1),        total(1.0, -1),                   "one entry",                (-1,)),
    Case(Increasing(),                    (9, 6),        lambda w: (w.diff(dim=-1) >= 0).all(-1, keepdim=True), "a calibrator", (-1,)),
    Case(Increasing(dim=0),               (6, 9),        lambda w: (w.diff(dim=0) >= 0).all(0, keepdim=True), "down the columns", (0,)),
    Case(Decreasing(),                    (9, 6),        lambda w: (w.diff(dim=-1) <= 0).all(-1, keepdim=True), "falling", (-1,)),
    Case(Increasing(),                    (3, 1),        lambda w: ~w.isnan(),             "nothing to compare",       (-1,)),
    Case(Intersection(NonNegative(), MaxNorm(1.0, dim=-1)), (9, 5), both(lambda w: w >= 0, length(0, 1.0, -1), -1), "signs, then a ball", (-1,)),
    Case(Intersection(Sign((1, -1, 0)), L1Ball(1.0, dim=-1)), (9, 3), both(signs((1, -1, 0), -1), absolute(1.0, -1), -1), "signs, then an L1 ball", (-1,)),
    Case(Intersection(Between(0.1, 0.7), Increasing()), (9, 6), both(lambda w: (w >= 0.1) & (w <= 0.7), lambda w: (w.diff(dim=-1) >= 0).all(-1, keepdim=True), -1), "order, then bounds", (-1,)),
    Case(Intersection(Between(-0.1, 0.7), MaxNorm(0.9, dim=-1)), (9, 5), both(lambda w: (w >= -0.1) & (w <= 0.7), length(0, 0.9, -1), -1), "bounds and a ball at once", (-1,)),
    Case(Intersection(Between(0.1, 0.7), MaxNorm(0.9, dim=0)), (5, 9), both(lambda w: (w >= 0.1) & (w <= 0.7), length(0, 0.9, 0), 0), "bounds that leave 0 out", (0,)),
    Case(Intersection(Between([-INF, 0.1, 0.0, -1.0, 0.3], [0.1, INF, 0.0, 0.7, 0.31]), L1Ball(0.9, dim=-1)), (9, 5), both(between([-INF, 0.1, 0.0, -1.0, 0.3], [0.1, INF, 0.0, 0.7, 0.31]), absolute(0.9, -1), -1), "other bounds for every input", (-1,)),
    Case(Intersection(Between(high=0.3), Simplex(dim=-1)), (9, 5), both(lambda w: w <= 0.3, total(1.0, -1), -1), "probabilities, none of them large", (-1,)),
    Case(Intersection(NonNegative(), Simplex(dim=-1)), (9, 5), total(1.0, -1), "nothing new", (-1,)),
    Case(Masked(MaxNorm(1.0, dim=-1), [True, True, False, True, False]), (9, 5), lambda w: length(0, 1.0, -1)(w[..., [0, 1, 3]]), "some entries of a vector", (-1,)),
    Case(Masked(L1Ball(1.0, dim=-1), [True, True, False, True, False]), (9, 5), lambda w: absolute(1.0, -1)(w[..., [0, 1, 3]]), "some entries of a vector", (-1,)),
    Case(Masked(Simplex(dim=-1), [True, True, False, True, False]), (9, 5), lambda w: total(1.0, -1)(w[..., [0, 1, 3]]), "some entries of a vector", (-1,)),
    Case(Masked(UnitNorm(dim=-1), [[True]] * 4 + [[False]] * 5), (9, 5), masked([[True]] * 4 + [[False]] * 5, length(1.0, 1.0, -1)), "some vectors", (-1,)),
]
# fmt: on
IDS = [f"{case.constraint!r} on {case.shape}: {case.why}" for case in CASES]
VECTOR_IDS = [f"{case.constraint!r} on {case.shape}: {case.why}" for case in VECTORS]


def numbers(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Numbers of all sizes, and on every wall of the table: its bounds, and their neighbours on both sides."""
    torch.manual_seed(seed)
    walls = torch.tensor([0.0, -0.0, 0.1, -0.1, 0.3, 0.7, -0.7, 1 / 3, 1e-7, 1e-9, 1e-40, INF, -INF], dtype=dtype)
    up, down = (torch.nextafter(walls, torch.full_like(walls, end)) for end in (INF, -INF))
    spread = torch.randn(200, dtype=torch.float64) * 10.0 ** torch.randint(-12, 6, (200,))
    pool = torch.cat([walls, up, down, spread.to(dtype)])
    return pool[torch.randint(len(pool), shape)]


def same_bits(a: Tensor, b: Tensor) -> Tensor:
    return a.contiguous().view(BITS[a.dtype]) == b.contiguous().view(BITS[b.dtype])


def plus_zero(w: Tensor) -> Tensor:
    """-0.0 becomes 0.0: the one change that a member may see."""
    return torch.where(w == 0, torch.zeros_like(w), w)


def vectors(case: Case, dtype: torch.dtype, seed: int) -> Tensor:
    """Vectors of all sizes, of one entry, of zeros, on the wall and inside."""
    torch.manual_seed(seed)
    far = (1e-7, 1e4) if dtype is torch.float16 else (1e-30, 1e30)
    w = torch.randn(case.shape, dtype=torch.float64)
    kept = [1 if d in {e % len(case.shape) for e in case.dims} else n for d, n in enumerate(case.shape)]
    sizes = torch.tensor([0.0, far[0], 1e-5, 0.01, 0.1, 0.3, 1.0, 1.0, 3.0, 100.0, far[1]], dtype=torch.float64)
    w = w * sizes[torch.randint(len(sizes), kept)]
    w = torch.where(torch.rand(kept) < 0.2, case.constraint.project(w), w)  # members
    w = torch.where(torch.rand(kept) < 0.2, w.abs(), w)
    return torch.where(torch.rand(case.shape) < 0.1, 0.0, w).to(dtype)


def check(case: Case, dtype: torch.dtype) -> None:
    """What every constraint promises."""
    global _judged  # noqa: PLW0603 (the predicates of the table see float64 only)
    _judged = dtype
    project = case.constraint.project
    for seed in range(4):
        w = vectors(case, dtype, seed) if case in VECTORS else numbers(case.shape, dtype, seed)
        before = w.clone()
        p = project(w)
        assert bool(same_bits(w, before).all()), "project changed its argument"
        assert (p.shape, p.dtype, p.device) == (w.shape, w.dtype, w.device), "another shape, dtype or device"
        in_place = w.clone()
        case.constraint.project_([in_place])
        assert bool(same_bits(in_place, p).all()), "in place it is something else"
        assert bool(case.inside(p.double()).all()), "the stored number is outside"
        assert bool(same_bits(project(p), p).all()), "not idempotent"
        if case.constraint.elementwise and not isinstance(case.constraint, Masked):
            assert not bool((torch.signbit(p) & (p == 0)).any()), "a -0.0 is left"
        members = case.inside(w.double())
        assert bool(same_bits(plus_zero(p), plus_zero(w))[members.expand(w.shape)].all()), "a member was changed"
        moved = (p != w).any(case.dims, keepdim=True) if case.dims else p != w
        assert bool(moved[~members.expand(moved.shape)].all()), "an outsider was left where it was"
        if w.numel():
            assert float(case.constraint.violation(p)) == 0.0, "a violation inside"
            assert (float(case.constraint.violation(w)) > 0) == (not bool(members.all())), "a violation unseen"
            ill = w.flatten().clone()
            ill[0] = NAN
            assert bool(project(ill.reshape(w.shape)).flatten()[0].isnan()), "NaN was made to look well"
            assert bool(case.constraint.violation(ill.reshape(w.shape)).isnan()), "the violation of NaN is not NaN"
