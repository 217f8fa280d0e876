"""Good words: append what benign messages say, chosen without questions or with a few.

- passive: words in any order, the frequent ones, the ones that are more frequent in good messages than in bad ones;
- active: probe a message that is barely bad with one word at a time;
- all victims get the same words, in the same order, as many as it takes.

Source: Lowd and Meek, "Good Word Attacks on Statistical Spam Filters", CEAS 2005.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ._moves import Moves
from ._random import add_first
from ._search import Attacked, Progress, Search
from ._victims import Victim, as_rows, scores

# How many words are appended, in turn; 150 passive or 30 active ones get half of the mail past in the paper.
WORDS = (1, 2, 5, 10, 25, 30, 50, 100, 150, 300)
# Pairs of a bad and a good message between which barely bad ones are looked for, and how many are enough: a word that
# one of them has already is probed on another.
PAIRS, MESSAGES = 20, 3


def dictionary_words(
    victim: Victim, x: Any, threshold: float, moves: Moves, *, seed: int = 0, progress: Progress | None = None
) -> Attacked:
    """Words in an order that knows nothing.

    Args:
        victim: what is attacked.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do.
        seed: of the order.
        progress: called with (1, 1) at the end.

    Raises:
        BadInput: see `Search`.

    Cost: 11 scores per victim.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x.sum(1))
    >>> dictionary_words(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).additions
    tensor([2])
    """
    search = Search("dictionary_words", victim, x, threshold, moves)
    order = torch.randperm(moves.features, generator=torch.Generator().manual_seed(seed))
    return _append(search, order, progress)


def frequent_words(
    victim: Victim, x: Any, threshold: float, moves: Moves, benign: Any, *, progress: Progress | None = None
) -> Attacked:
    """The most frequent words of benign rows first. Everything else: `dictionary_words`.

    Args:
        benign: shape (m, d).

    Raises:
        BadInput: also without benign rows.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 0.5 - x[:, 2])
    >>> benign = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    >>> frequent_words(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0), benign).additions
    tensor([1])
    """
    search = Search("frequent_words", victim, x, threshold, moves)
    often = _frequency(_some(benign, "benign", moves), moves)
    return _append(search, _descending(often, often > 0), progress)


def ratio_words(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    benign: Any,
    *,
    bad: Any,
    progress: Progress | None = None,
) -> Attacked:
    """The words whose frequency in benign rows is highest beside that in bad ones. Everything else: `frequent_words`.

    Args:
        bad: shape (b, d): bad rows that the attacker knows, such as its own.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 0.5 - x[:, 1])
    >>> benign, bad = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    >>> moves = Moves.between((1, 1, 1), 0.0, 1.0)
    >>> ratio_words(victim, torch.zeros(1, 3), 0.0, moves, benign, bad=bad).additions
    tensor([1])
    """
    search = Search("ratio_words", victim, x, threshold, moves)
    rows, others = _some(benign, "benign", moves), _some(bad, "bad", moves)
    often, seldom = _frequency(rows, moves), _frequency(others, moves)
    # Half a row more on both sides, so that what bad rows never have does not divide by 0.
    ratio = (often + 0.5 / len(rows)) / (seldom + 0.5 / len(others))
    return _append(search, _descending(ratio, often > 0), progress)


def first_words(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    benign: Any,
    *,
    bad: Any,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attacked:
    """First-N: the words, in any order, that bring a barely bad message past. It asks for verdicts only.

    Args, Raises: as `ratio_words`; without a barely bad message, or a word that helps, it finds nothing.

    Cost: up to three questions per feature, and 11 scores per victim.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 + x[:, 0] - x[:, 1:].sum(1))
    >>> benign, bad = torch.tensor([[0.0, 1.0, 1.0, 1.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]])
    >>> moves = Moves.between((1,) * 5, 0.0, 1.0)
    >>> first_words(victim, torch.zeros(1, 5), 0.0, moves, benign, bad=bad).additions
    tensor([2])
    """
    search = Search("first_words", victim, x, threshold, moves)
    order, _, passes = _probed(search, benign, bad, seed)
    return _append(search, order[passes], progress)


def best_words(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    benign: Any,
    *,
    bad: Any,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attacked:
    """Best-N: the words that lower the score of a barely bad message most. Everything else: `first_words`.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 + x[:, 0] - 0.1 * x[:, 1] - x[:, 2] - x[:, 3])
    >>> benign, bad = torch.tensor([[0.0, 1.0, 1.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    >>> moves = Moves.between((1, 1, 1, 1), 0.0, 1.0)
    >>> best_words(victim, torch.zeros(1, 4), 0.0, moves, benign, bad=bad).additions
    tensor([2])
    """
    search = Search("best_words", victim, x, threshold, moves)
    order, effect, _ = _probed(search, benign, bad, seed)
    ranked = effect.sort(stable=True)
    return _append(search, order[ranked.indices[ranked.values < 0]], progress)


def _append(search: Search, order: Tensor, progress: Progress | None) -> Attacked:
    add_first(search, order.to(search.x.device), WORDS)
    if progress is not None:
        progress(1, 1)
    return search.result()


def _some(rows: Any, where: str, moves: Moves) -> Tensor:
    found = as_rows(rows, where, moves.features)
    if not len(found):
        raise BadInput(where, "it has no rows", "good words are taken from some")
    return found


def _frequency(rows: Tensor, moves: Moves) -> Tensor:
    """Share of the rows that have each feature, shape (d,): of a number, how far up its target they are on average."""
    target, up = moves.target.to(rows.device), (moves.directions > 0).to(rows.device)
    known = rows.isfinite()
    low, high = rows.where(known, torch.inf).amin(0), rows.where(known, -torch.inf).amax(0)
    # Names start at 0, whatever the rows happen to hold.
    start = torch.where(up, torch.minimum(low, torch.zeros_like(low)), torch.maximum(high, target + 1))
    share = ((rows - start) / torch.where(target == start, 1.0, target - start)).clamp(0.0, 1.0)
    return torch.where(moves.addable.to(rows.device), share.nan_to_num(nan=0.0).mean(0), 0.0)


def _descending(value: Tensor, kept: Tensor) -> Tensor:
    """Features from the highest value down, equal ones in their order; without those that are not kept."""
    order = value.sort(descending=True, stable=True).indices
    return order[kept[order]]


def _probed(search: Search, benign: Any, bad: Any, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features in a random order, the best effect of each on barely bad messages, and whether it brings one past."""
    moves, device = search.moves, search.x.device
    rows, others = _some(benign, "benign", moves).to(device), _some(bad, "bad", moves).to(device)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(moves.features, generator=generator).to(device)
    effect = torch.zeros(moves.features, dtype=torch.float64, device=device)
    passes = torch.zeros(moves.features, dtype=torch.bool, device=device)
    for message in _barely_bad(search, rows, others, generator):
        open_ = moves.available(message[None])[0].nonzero().flatten()
        trial = message.repeat(len(open_), 1)
        trial[torch.arange(len(open_), device=device), open_] = moves.target[open_]
        found = scores(search.victim, torch.cat([message[None], trial]))
        search.queries += len(found)
        effect[open_] = torch.minimum(effect[open_], found[1:] - found[0])
        passes[open_] |= found[1:] <= search.threshold
    return order, effect[order], passes[order]


def _barely_bad(search: Search, benign: Tensor, bad: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """Detected rows on the way from a bad to a benign one, one feature before they are no longer; by halving."""

    def detected(row: Tensor) -> bool:
        search.queries += 1
        return bool(scores(search.victim, row[None])[0] > search.threshold)

    messages = 0
    for pair in range(PAIRS):
        spam, ham = bad[pair % len(bad)], benign[pair % len(benign)]
        differ = ((spam != ham) & ~(spam.isnan() | ham.isnan())).nonzero().flatten()
        differ = differ[torch.randperm(len(differ), generator=generator).to(differ.device)]

        def so_far(steps: int, spam: Tensor = spam, ham: Tensor = ham, differ: Tensor = differ) -> Tensor:
            row = spam.clone()
            row[differ[:steps]] = ham[differ[:steps]]
            return row

        still, gone = 0, len(differ)
        if not detected(so_far(still)) or detected(so_far(gone)):
            continue
        while gone - still > 1:
            half = (still + gone) // 2
            still, gone = (half, gone) if detected(so_far(half)) else (still, half)
        yield so_far(still)
        messages += 1
        if messages == MESSAGES:
            return
