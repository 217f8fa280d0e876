"""How many additions an attacker needs at least to bring a network's score to the threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..attack import Differentiable, Moves, scores
from ..attack._victims import as_rows
from ..certify._facts import NotReal
from ..errors import BadInput
from ..nn import Bag, MonotoneEnsemble, MonotoneNetwork
from ._bounds import Tape, forms, lower, values
from ._needed import UNLIMITED, Needed
from ._reach import Reach
from ._read import Unreadable, read
from ._tape import Affine, Largest

# Numbers in one tensor of the bounds: 2**22 float64 are 32 MB, and a handful of them are alive at a time.
MOST_VALUES = 2**22
# How many additions are branched on, and at most how many ways for each number of additions that are left.
WAYS = {1: 256, 2: 32}


def additions_needed(
    model: nn.Module,
    x: Any,
    threshold: float,
    moves: Moves,
    *,
    most: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Needed:
    """A certified lower bound on the additions that bring each row's score to or below the threshold.

    For k = 1, 2, 4, ... and then by halving, the score is bounded from below over everything that at most k additions
    make of a row. A bound above the threshold proves that k additions are not enough. What is bounded is the score as
    the model computes it, in float32 or float64 and in any order of summation; not in a lower precision (bfloat16,
    TF32, quantised), and not on another row that merely looks the same.

    Args:
        model: a module in eval mode that takes rows (n, d) and gives one logit each, made of the layers that have a
            rule (linear, batch norm, dropout, and activations of one number), or `MonotoneNetwork` of names and
            `MonotoneEnsemble`.
        x: shape (n, d), float32.
        threshold: detected is a score above it.
        moves: what the attacker can do. A number may stop anywhere on its way, and so may a name, unless
            `Moves.of_names`, or a step of inf, says that it goes all the way: then a few additions are branched on.
        most: look no further than so many additions, but for "unlimited"; None looks to the end.
        progress: called with (rows done, rows).

    Returns:
        `Needed`. A model without a rule is not refused but unknown: every detected row gets 1, with the reason.

    Raises:
        BadInput: other shapes, or a threshold or score that is NaN.

    Cost: per k about the work of the first layer times the number of units of the first two layers; 1,000 rows of 215
    features on 64-32 units take seconds, of 4,000 features minutes.

    >>> model = nn.Sequential(nn.Linear(4, 1))
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, -1.0, -2.0, 0.5]])), model[0].bias.fill_(2.5)
    >>> additions_needed(model, torch.zeros(1, 4), 0.0, Moves.between((1,) * 4, 0.0, 1.0)).needed
    tensor([2])
    """
    rows = as_rows(x, "x", moves.features).cpu()
    moves = moves.on(rows.device)
    if threshold != threshold:  # noqa: PLR0124
        raise BadInput("threshold", "it is NaN", "a number would be right; above it is detected")
    needed = torch.zeros(len(rows), dtype=torch.int64)
    if not len(rows):
        return Needed(needed)
    try:
        tape, unit = read(model, moves.features)
        _fits(model, tape, rows, moves)
    except Unreadable as reason:
        needed[_scores(model, rows) > threshold] = 1
        return Needed(needed, str(reason))
    found = (_scores(model, rows) > threshold).nonzero().flatten()
    needed[found] = 1
    size = _block(tape, moves.features)
    fault = ""
    for start in range(0, len(found), size):
        some = found[start : start + size]
        try:
            _computes_as_read(model, tape, unit, rows[some], moves)
            needed[some] = _Search(tape, moves, unit, threshold).needed(rows[some], most)
        except NotReal as reason:
            fault = f"a function of the model: {reason}"
        except Unreadable as reason:
            needed[found] = 1
            return Needed(needed, str(reason))
        if progress is not None:
            progress(min(start + size, len(found)), len(found))
    return Needed(needed, fault)


def score_bound(model: nn.Module, x: Any, moves: Moves, most: int | None) -> Tensor:
    """A certified lower bound of each row's score over everything that at most `most` additions make of it.

    Args, Raises: as `additions_needed`; `most` None is no limit.

    Returns:
        Shape (n,), float64; -inf where nothing is known.

    >>> model = nn.Sequential(nn.Linear(2, 1))
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, -1.0]])), model[0].bias.fill_(2.0)
    >>> score_bound(model, torch.zeros(1, 2), Moves.between((1, 1), 0.0, 1.0), 1).round(decimals=4)
    tensor([1.], dtype=torch.float64)
    """
    rows = as_rows(x, "x", moves.features).cpu()
    moves = moves.on(rows.device)
    found = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
    try:
        tape, unit = read(model, moves.features)
        _fits(model, tape, rows, moves)
        for start in range(0, len(rows), size := _block(tape, moves.features)):
            some = rows[start : start + size]
            limit = torch.full((len(some),), moves.features if most is None else most)
            found[start : start + size] = low = lower(tape, Reach.of(some, moves, limit), unit)
            if len(known := some[low > -torch.inf]):
                _computes_as_read(model, tape, unit, known, moves)
    except NotReal:
        return found
    except Unreadable:
        return torch.full_like(found, -torch.inf)
    return found


@dataclass(frozen=True, eq=False)
class _Search:
    """Of blocks of rows: unlimited, or the fewest additions that are not proved to be too few."""

    tape: Tape
    moves: Moves
    unit: float
    threshold: float

    def needed(self, x: Tensor, most: int | None) -> Tensor:
        """Shape (n,)."""
        reach = Reach.of(x, self.moves, torch.zeros(len(x), dtype=torch.int64))
        available = (reach.span != 0).sum(1)
        every = torch.arange(len(available))

        def holds(rows: Tensor, k: Tensor) -> Tensor:
            return lower(self.tape, reach.part(rows).with_most(k), self.unit) > self.threshold

        unlimited = holds(every, available)
        rows = every[~unlimited]
        # good: proved to be too few; bad: not proved.
        good, bad = torch.zeros_like(available), available.clone()
        if most is not None:
            bad = torch.minimum(bad, torch.tensor(most + 1))
        k, climbing = 1, rows[bad[rows] > 1]
        while len(climbing):
            fine = holds(climbing, torch.full_like(climbing, k))
            good[climbing[fine]], bad[climbing[~fine]] = k, k
            k *= 2
            climbing = climbing[fine & (k < bad[climbing])]
        while len(rows := rows[good[rows] + 1 < bad[rows]]):
            half = (good[rows] + bad[rows]) // 2
            fine = holds(rows, half)
            good[rows[fine]], bad[rows[~fine]] = half[fine], half[~fine]
        for k in WAYS if self.moves.whole else ():
            some = (~unlimited & (good == k - 1)).nonzero().flatten() if most is None or k <= most else every[:0]
            if len(some):
                good[some[self.withstands(x[some], k)]] = k
        # Branching proves more than one bound does: who withstands as many as there are withstands them all.
        return torch.where(unlimited | (good >= available.clamp(min=1)), UNLIMITED, good + 1)

    def withstands(self, x: Tensor, k: int) -> Tensor:
        """Whether rows of names are proved to stay above the threshold after k additions, by branching; shape (n,).

        A bound that has something to spare shows that the row itself stays above. If k additions brought it down, they
        would cost together what the bound has to spare, and one of them a k-th of it: so it is enough to look at the
        rows with one of the additions that cost so much. Of several bounds each row takes the one with fewest ways.
        """
        reach = Reach.of(x, self.moves, torch.full((len(x),), k))
        if k == 0:
            return values(self.tape, reach, self.unit, None).lo[-1][:, 0] > self.threshold
        interval, found = forms(self.tape, reach, self.unit)
        good = interval > self.threshold
        few, ways = torch.full((len(x),), WAYS[k] + 1), torch.zeros_like(reach.x, dtype=torch.bool)
        for form in found:
            spare = form.base - self.threshold
            good |= spare > reach.dearest(form.cost)
            # Written so that NaN leaves a way open; without anything to spare nothing is shown.
            dear = (reach.span != 0) & ~(form.cost * (1 + 1e-6) < spare[:, None] / k)
            fewer = (spare > 0) & (dear.sum(1) < few)
            few, ways = torch.where(fewer, dear.sum(1), few), torch.where(fewer[:, None], dear, ways)
        tried = (~good & (few <= WAYS[k])).nonzero().flatten()
        row, way = ways[tried].nonzero(as_tuple=True)
        if not len(row):
            good[tried] = True  # no addition costs enough
            return good
        after = x[tried[row]]
        after[torch.arange(len(way)), way] = self.moves.target[way]
        size = _block(self.tape, self.moves.features)
        held = [self.withstands(after[start : start + size], k - 1) for start in range(0, len(after), size)]
        failed = torch.zeros(len(tried), dtype=torch.int64).index_add_(0, row, (~torch.cat(held)).long())
        good[tried] = failed == 0
        return good


def _fits(model: Any, tape: Tape, rows: Tensor, moves: Moves) -> None:
    """Sets of names are rows of 0 and 1, and so are their targets; to a maximum names are only added.

    Raises:
        Unreadable: they are not.
    """
    if not isinstance(model, MonotoneNetwork | MonotoneEnsemble):
        return
    # The model asks whether a number is 0, the tape multiplies by it.
    for numbers in (rows, moves.target[moves.addable]):
        if not bool(((numbers == 0) | (numbers == 1)).all()):
            raise Unreadable("names are 0 or 1 here, and other numbers came")
    for node in tape:
        if isinstance(node, Largest):
            names = len(node.rows)
            movable = moves.addable[:names]
            if not bool((moves.target[:names][movable] == 1).all()):
                raise Unreadable("names are added here, and some have another target than 1")


def _computes_as_read(model: Any, tape: Tape, unit: float, rows: Tensor, moves: Moves) -> None:
    """Rows as they are score what the tape says: a rule for a layer says nothing of code that nobody has read.

    Raises:
        Unreadable: they do not.
    """
    state = values(tape, Reach.of(rows, moves, torch.zeros(len(rows), dtype=torch.int64)), unit, None)
    computed = _scores(model, rows)
    if bool(((computed < state.lo[-1][:, 0]) | (computed > state.hi[-1][:, 0])).any()):
        raise Unreadable("it computes otherwise than its layers were read")


def _scores(model: Any, rows: Tensor) -> Tensor:
    if isinstance(model, MonotoneNetwork | MonotoneEnsemble):
        return scores(Differentiable(lambda x: model(Bag.of(x))), rows)
    if not isinstance(model, nn.Module):
        return scores(Differentiable(model), rows)
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    return scores(Differentiable(lambda x: model(x.to(dtype))), rows)


def _block(tape: Tape, features: int) -> int:
    """Rows at once."""
    widest = max([len(node.bias) for node in tape if isinstance(node, Affine)], default=1)
    return max(1, min(256, MOST_VALUES // (widest * features)))
