"""What an attack may ask of a model: scores, and a cheap guess of what each move would do.

- `Differentiable` guesses by one backward pass, `BlackBox` by trying every move on a few rows once;
- every question goes in blocks of one fixed shape, so that an answer does not depend on the neighbours of its row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ._moves import Moves, as_tensor

# 256 rows fill the kernels of a laptop and leave little to pad; 2**24 float32 values are 64 MB.
BLOCK_ROWS, BLOCK_VALUES = 256, 2**24
# Guesses are only compared; beyond this, sums of them would overflow float32.
HUGE = 1e30


class Victim(Protocol):
    """A model under attack."""

    def score(self, x: Tensor) -> Tensor:
        """Shape (n, d) to (n,): higher is worse for the attacker. No gradient is needed."""
        ...

    def preference(self, x: Tensor, moves: Moves) -> Tensor:
        """Shape (n, d): a guess of the score's change under each move; lower is better for the attacker."""
        ...


@runtime_checkable
class HasSlope(Protocol):
    """A victim whose gradient may be asked, also between the values that a row can really take."""

    def slope(self, x: Tensor) -> Tensor:
        """Shape (n, d) to (n, d)."""
        ...


@final
class Differentiable:
    """A victim with gradients: one backward pass guesses the effect of every move.

    Args:
        score: shape (n, d) float32 to (n,) or (n, 1) logits, row by row; a module in eval mode, or a function. Logits
            rather than probabilities, whose gradients vanish.

    >>> victim = Differentiable(lambda x: x @ torch.tensor([1.0, -2.0]))
    >>> victim.preference(torch.tensor([[0.0, 0.0]]), Moves.between((1, 1), 0.0, 3.0))
    tensor([[ 3., -6.]])
    """

    def __init__(self, score: Callable[[Tensor], Tensor]) -> None:
        self._score = score

    def score(self, x: Tensor) -> Tensor:
        """Shape (n,)."""
        with torch.no_grad():
            return _one_per_row(self._score(x), len(x))

    def preference(self, x: Tensor, moves: Moves) -> Tensor:
        """Gradient times distance, shape (n, d): exact where the score is linear.

        Raises:
            BadInput: the score has no gradient.
        """
        return self.slope(x) * (moves.target - x)

    def slope(self, x: Tensor) -> Tensor:
        """The gradient of the score, shape (n, d).

        Raises:
            BadInput: the score has no gradient.
        """
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            total = _one_per_row(self._score(leaf), len(x)).sum()
            if not total.requires_grad:
                raise BadInput(
                    "score", "it has no gradient", "a differentiable victim needs one", "Attack it with `BlackBox`."
                )
            (slope,) = torch.autograd.grad(total, leaf, allow_unused=True, materialize_grads=True)
        return slope


@final
class BlackBox:
    """A victim that only answers: LightGBM, scikit-learn, ONNX, a service.

    The guess is the mean exact change of the score under each single move over a few rows, the same for all rows;
    it is made at the first question and kept.

    Args:
        predict: a numpy array, shape (n, d) float32, to n scores; raw scores or logits are better than probabilities.
        sample: shape (s, d): rows to guess on, detected ones; about 16 are enough.
        benign: shape (m, d), optional: then only moves towards something that occurs there are tried, the rest are
            guessed to do nothing.

    Raises:
        BadInput: no sample, or other shapes.

    Cost: s * d scores, once; with d = 6,000, s = 16 and a LightGBM of 100 trees, seconds.

    >>> victim = BlackBox(lambda x: x @ [1.0, -2.0], sample=torch.zeros(1, 2))
    >>> victim.preference(torch.zeros(1, 2), Moves.between((1, 1), 0.0, 3.0))
    tensor([[ 3., -6.]])
    """

    # The guess is the same for every row and never learns: attacks remember what they measured instead.
    static = True

    def __init__(self, predict: Callable[[np.ndarray[Any, Any]], Any], sample: Any, benign: Any | None = None) -> None:
        self._predict = predict
        self._sample = as_rows(sample, "sample")
        self._benign = None if benign is None else as_rows(benign, "benign")
        if not len(self._sample):
            raise BadInput("sample", "it has no rows", "about 16 detected rows would be right")
        self._known: tuple[Moves, Tensor] | None = None

    def score(self, x: Tensor) -> Tensor:
        """Shape (n,), float64."""
        answer = np.asarray(self._predict(x.detach().cpu().numpy()), dtype=np.float64)
        # Copied: some libraries hand out read-only or reused buffers.
        return _one_per_row(torch.from_numpy(answer.copy()), len(x)).to(x.device)

    def preference(self, x: Tensor, moves: Moves) -> Tensor:
        """The same row for every row, shape (n, d)."""
        if self._known is None or self._known[0] is not moves:
            self._known = (moves, self._guess(moves))
        return self._known[1].expand(len(x), -1)

    def _guess(self, moves: Moves) -> Tensor:
        sample = as_rows(self._sample, "sample", moves.features).to(moves.target.device)
        open_ = moves.available(sample)
        if self._benign is not None and len(self._benign):
            benign = as_rows(self._benign, "benign", moves.features).to(sample.device)
            rises = benign.nan_to_num(nan=-torch.inf).amax(0) > sample.nan_to_num(nan=torch.inf).amin(0)
            falls = benign.nan_to_num(nan=torch.inf).amin(0) < sample.nan_to_num(nan=-torch.inf).amax(0)
            open_ = open_ & torch.where(moves.directions > 0, rises, falls)
        rows, features = open_.nonzero(as_tuple=True)
        before = scores(self, sample)
        change = scores_of_moves(self, sample, rows, features, moves.target[features]) - before[rows]
        total = torch.zeros(moves.features, dtype=torch.float64, device=sample.device)
        total.index_add_(0, features, change.nan_to_num(nan=0.0, posinf=HUGE, neginf=-HUGE))
        return (total / open_.sum(0).clamp(min=1)).float()


def as_rows(x: Any, where: str, features: int | None = None) -> Tensor:
    """Float32 rows, shape (n, d), without a gradient."""
    if hasattr(x, "toarray"):
        raise BadInput(
            where, "sparse rows came", "rows of numbers are right: attacks fill them in", "Hand in `.toarray()`."
        )
    rows = as_tensor(x, torch.float32)
    if rows.ndim != 2 or (features is not None and rows.shape[1] != features):
        right = "rows of features, shape (n, d)" if features is None else f"rows of {features} features"
        raise BadInput(where, f"it has shape {tuple(rows.shape)}", f"{right} would be right")
    return rows


def scores(victim: Victim, x: Tensor, names: Tensor | None = None) -> Tensor:
    """Float64 scores of the rows of `x`, shape (n,); `names` are the row numbers to use in a message.

    Float64 holds float32 exactly, so that comparing with a threshold rounds nothing.
    """
    found = _in_blocks(victim.score, x).to(torch.float64)
    if bool(found.isnan().any()):
        row = int(found.isnan().nonzero()[0])
        row = row if names is None else int(names[row])
        raise BadInput("score", f"row {row}, as it came or with additions, has the score NaN", "a score is a number")
    return found


def scores_of_moves(
    victim: Victim, x: Tensor, rows: Tensor, features: Tensor, ends: Tensor, *, names: Tensor | None = None
) -> Tensor:
    """Score of row `rows[i]` with feature `features[i]` at `ends[i]`, for every i; shape (len(rows),)."""
    found = [torch.zeros(0, dtype=torch.float64, device=x.device)]
    for part in blocks(len(rows), x.shape[1]):
        row, feature = rows[part], features[part]
        trial = x[row]
        trial[torch.arange(len(row), device=x.device), feature] = ends[part]
        found.append(scores(victim, trial, row if names is None else names[row]))
    return torch.cat(found)


def preferences(victim: Victim, x: Tensor, moves: Moves) -> Tensor:
    """Guesses of the effect of each move, shape (n, d), all finite; NaN counts as "does nothing"."""
    found = _in_blocks(lambda block: victim.preference(block, moves), x)
    return found.float().nan_to_num(nan=0.0).clamp(-HUGE, HUGE)


def slopes(victim: Victim, x: Tensor) -> Tensor:
    """Gradients of the score, shape (n, d), all finite; NaN counts as 0.

    Raises:
        BadInput: the victim has none.
    """
    if not isinstance(victim, HasSlope):
        raise BadInput(
            "victim", f"{type(victim).__name__} has no slope()", "this attack follows gradients", "Try `greedy`."
        )
    return _in_blocks(victim.slope, x).float().nan_to_num(nan=0.0).clamp(-HUGE, HUGE) if len(x) else x.clone()


def block_rows(features: int) -> int:
    """Rows in one question."""
    return max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(features, 1)))


def blocks(rows: int, features: int) -> list[slice]:
    """The rows, in parts of one question each."""
    size = block_rows(features)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _in_blocks(ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    # One shape for every question: other batch sizes may sum in another order and differ in the last bits, and then a
    # monotone model would seem to fall. The last row fills the last block: it is a valid row, which zeros may not be.
    # Always a copy: some models write into the rows that they are asked about, such as those that fill in what misses.
    size = block_rows(x.shape[1])
    found = []
    for part in blocks(len(x), x.shape[1]):
        block = x[part]
        full = torch.cat([block, block[-1:].expand(size - len(block), -1)])
        found.append(ask(full)[: len(block)].detach())
    return torch.cat(found)


def _one_per_row(answer: Tensor, rows: int) -> Tensor:
    if answer.shape not in ((rows,), (rows, 1)):
        raise BadInput(
            "score", f"it gave shape {tuple(answer.shape)} for {rows} rows", "one score per row, on one logit"
        )
    return answer.reshape(rows)
