"""Every constraint, and what each of them promises."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from isotone.constraints import Between, Constraint, NonNegative, NonPositive, Sign

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
BITS = {torch.float64: torch.int64, torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
INF, NAN = float("inf"), float("nan")


class Case(NamedTuple):
    constraint: Constraint
    shape: tuple[int, ...]
    inside: Callable[[Tensor], Tensor]  # of the stored numbers as float64, which entries satisfy the constraint
    why: str


def signs(directions: tuple[int, ...], dim: int) -> Callable[[Tensor], Tensor]:
    def inside(w: Tensor) -> Tensor:
        ways = torch.tensor(directions, dtype=w.dtype).reshape([-1 if i == dim % w.ndim else 1 for i in range(w.ndim)])
        return torch.where(ways == 0, ~w.isnan(), w * ways >= 0)

    return inside


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
]
# fmt: on
IDS = [f"{case.constraint!r} on {case.shape}: {case.why}" for case in CASES]


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


def check(case: Case, dtype: torch.dtype) -> None:
    """What every constraint promises."""
    project = case.constraint.project
    for seed in range(4):
        w = numbers(case.shape, dtype, seed)
        before = w.clone()
        p = project(w)
        assert bool(same_bits(w, before).all()), "project changed its argument"
        assert (p.shape, p.dtype, p.device) == (w.shape, w.dtype, w.device), "another shape, dtype or device"
        assert bool(case.inside(p.double()).all()), "the stored number is outside"
        assert bool(same_bits(project(p), p).all()), "not idempotent"
        assert not bool((torch.signbit(p) & (p == 0)).any()), "a -0.0 is left"
        members = case.inside(w.double())
        assert bool(same_bits(p, plus_zero(w))[members].all()), "a member was changed"
        assert bool((p != w)[~members].all()), "an outsider was left where it was"
        if w.numel():
            assert float(case.constraint.violation(p)) == 0.0, "a violation inside"
            assert (float(case.constraint.violation(w)) > 0) == (not bool(members.all())), "a violation unseen"
            ill = w.flatten().clone()
            ill[0] = NAN
            assert bool(project(ill.reshape(w.shape)).flatten()[0].isnan()), "NaN was made to look well"
            assert bool(case.constraint.violation(ill.reshape(w.shape)).isnan()), "the violation of NaN is not NaN"
