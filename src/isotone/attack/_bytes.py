"""Attacks on scores of files: benign content, optimised bytes, whole windows, a genetic search over sections.

- each works in a room: behind the end, at an alignment, within regions;
- byte networks take maxima, and a gradient is blind to whatever does not win one: so starts are drawn again and again,
  and whole windows are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import BadInput
from ._bytes_search import Append, AttackedBytes, ByteSearch, ByteVictim, Room, check_benign

SIZES = (1024, 8 * 1024, 64 * 1024)
AT_ONCE = 8  # files that are scored together
Inject = Callable[[Tensor, Tensor], Tensor]


def bytes_benign(
    victim: ByteVictim,
    files: Sequence[Tensor],
    threshold: float,
    benign: Sequence[Tensor],
    *,
    room: Room | None = None,
    sizes: Sequence[int] = SIZES,
    tries: int = 8,
    seed: int = 0,
) -> AttackedBytes:
    """Put pieces of benign files into the room, of each size `tries` times.

    Args:
        victim, files, threshold: as for `ByteSearch`.
        benign: files to take pieces of.
        room: behind the end by default.
        sizes: bytes that are put there.
        tries: of each size.
        seed: of what is drawn.

    Cost: len(sizes) * tries scores per victim.

    >>> from isotone.attack import ByteVictim
    >>> victim = ByteVictim(lambda files: torch.tensor([10.0 - len(file) for file in files]))
    >>> file = torch.zeros(5, dtype=torch.uint8)
    >>> bytes_benign(victim, [file], 0.0, [file], sizes=(4, 5, 6)).additions
    tensor([5])
    """
    search = ByteSearch("benign content", victim, files, threshold=threshold, room=room or Append(), seed=seed)
    check_benign(search.name, benign)
    for row in search.rows:
        for size in sizes:
            for start in range(0, tries, AT_ONCE):
                trials = [_filled(search, row, size, benign) for _ in range(start, min(tries, start + AT_ONCE))]
                search.ask(row, trials)
    return search.result()


def bytes_optimised(
    victim: ByteVictim,
    files: Sequence[Tensor],
    threshold: float,
    benign: Sequence[Tensor],
    *,
    room: Room | None = None,
    size: int = 2048,
    steps: int = 50,
    at_once: int = 256,
    restarts: int = 4,
    seed: int = 0,
) -> AttackedBytes:
    """Follow the gradient in the space of embedded bytes, each step to the bytes that lie nearest to it.

    At the `at_once` places with the largest gradients the byte is taken whose way from the present one leads down and
    strays least from the gradient. The first start is a piece of a benign file, the second random bytes, the third one
    byte throughout, and so on in turn.

    Args:
        victim: with a table and `of_embedded`.
        files, threshold: as for `ByteSearch`.
        benign: files to start from.
        room: behind the end by default.
        size: bytes that are put there.
        steps, at_once, restarts, seed: as told above.

    Raises:
        BadInput: a victim without gradient.

    Cost: restarts * steps gradients and scores per victim.
    Source: Kolosnjaji et al. 2018 (arXiv 1803.04173); Kreuk et al. 2018 (arXiv 1802.04528).
    """
    room = room or Append()
    search = ByteSearch("optimised bytes", victim, files, threshold=threshold, room=room, seed=seed)
    check_benign(search.name, benign)
    if victim.table is None or victim.of_embedded is None:
        raise BadInput(search.name, "a victim without table and of_embedded came", "ByteVictim.of(network) has both")
    for row in search.rows:
        for restart in range(restarts):
            now, places = search.opened(row, size)
            if len(places):
                now[places] = _start(search, benign, len(places), restart)
                search.ask(row, [now])
                _descend(search, row, now, places, steps=steps, at_once=at_once)
    return search.result()


def _start(search: ByteSearch, benign: Sequence[Tensor], size: int, restart: int) -> Tensor:
    if restart % 3 == 0:
        return search.piece(benign, size)
    if restart % 3 == 1:
        return torch.randint(0, 256, (size,), generator=search.rng, dtype=torch.uint8)
    return torch.full((size,), search.draw(256), dtype=torch.uint8)


def _descend(search: ByteSearch, row: int, now: Tensor, places: Tensor, *, steps: int, at_once: int) -> None:
    table, of_embedded = search.victim.table, search.victim.of_embedded
    assert table is not None
    assert of_embedded is not None
    bytes_only = table[:256]
    for _ in range(steps):
        with torch.enable_grad():
            embedded = table[now.long()].detach().requires_grad_()
            (gradient,) = torch.autograd.grad(of_embedded(embedded), embedded)
        slope = gradient[places]
        steep = slope.norm(dim=1)
        count = min(at_once, int((steep > 0).sum()))
        if not count:
            return  # no byte here wins a maximum
        at = steep.topk(count).indices
        down = -slope[at] / steep[at, None]  # (count, embedding)
        way = bytes_only[None] - bytes_only[now[places[at]].long()][:, None]  # (count, 256, embedding)
        along = (way * down[:, None]).sum(dim=2)
        aside = (way - along[..., None] * down[:, None]).norm(dim=2).masked_fill(along <= 0, torch.inf)
        best = aside.min(dim=1)
        move = best.values < torch.inf
        if not bool(move.any()):
            return
        now = now.clone()
        now[places[at[move]]] = best.indices[move].to(torch.uint8)
        search.ask(row, [now])


def bytes_windows(
    victim: ByteVictim,
    files: Sequence[Tensor],
    threshold: float,
    benign: Sequence[Tensor],
    *,
    room: Room | None = None,
    window: int = 512,
    size: int = 4096,
    candidates: int = 8,
    seed: int = 0,
) -> AttackedBytes:
    """Fill the room window by window, each with the one of some benign windows that gives the lowest score.

    Args:
        victim, files, threshold: as for `ByteSearch`.
        benign: files to take windows of.
        room: behind the end by default.
        window: bytes that are replaced together.
        size: bytes that are put there.
        candidates: benign windows that are tried at each place.
        seed: of what is drawn.

    Cost: size / window * candidates scores per victim.
    """
    search = ByteSearch("benign windows", victim, files, threshold=threshold, room=room or Append(), seed=seed)
    check_benign(search.name, benign)
    for row in search.rows:
        now, places = search.opened(row, size)
        if len(places):
            now[places] = search.piece(benign, len(places))
        for start in range(0, len(places), window):
            some = places[start : start + window]
            trials = [now]
            for _ in range(candidates):
                trial = now.clone()
                trial[some] = search.piece(benign, len(some))
                trials.append(trial)
            scores = torch.cat([search.ask(row, trials[i : i + AT_ONCE]) for i in range(0, len(trials), AT_ONCE)])
            now = trials[int(scores.argmin())]
    return search.result()


def bytes_genetic(
    victim: ByteVictim,
    files: Sequence[Tensor],
    threshold: float,
    sections: Sequence[Tensor],
    *,
    room: Room | None = None,
    inject: Inject | None = None,
    population: int = 10,
    generations: int = 20,
    price: float = 1e-6,
    seed: int = 0,
) -> AttackedBytes:
    """How much of each of some benign sections to put in: a genetic search that only asks for scores.

    A gene s_i in [0, 1] stands for the first int(s_i * length) bytes of section i. Fitness is the score plus `price`
    times the bytes added. One-point crossover (0.9), each gene drawn anew (0.3 of the children, 0.3 of their genes),
    tournaments, children join their parents; it stops after five generations without a better one.

    Args:
        victim, files, threshold: as for `ByteSearch`.
        sections: benign content.
        room: where it goes by default: behind the end.
        inject: (file, genes of shape (sections,)) to a file, in place of that; the room still judges the result.
        population, generations, price, seed: as told above.

    Cost: population * (generations + 1) scores per victim.
    Source: Demetrio et al. 2021 (arXiv 2003.13526), with the operators of their code as of commit be49683.
    """
    room = room or Append()
    search = ByteSearch("genetic sections", victim, files, threshold=threshold, room=room, seed=seed)
    check_benign(search.name, sections)

    def usual(file: Tensor, genes: Tensor) -> Tensor:
        content = torch.cat([one[: int(share * len(one))] for one, share in zip(sections, genes.tolist(), strict=True)])
        example, places = room.opened(file, len(content), search.rng)
        count = min(len(places), len(content))
        example[places[:count]] = content[:count]
        return example

    for row in search.rows:
        _evolve(search, row, inject or usual, len(sections), population, generations, price)
    return search.result()


def _evolve(  # noqa: PLR0917
    search: ByteSearch, row: int, inject: Inject, genes: int, population: int, generations: int, price: float
) -> None:
    rng, home = search.rng, search.home[row]

    def fitness(some: Tensor) -> Tensor:
        trials = [inject(home, one) for one in some]
        scores = torch.cat([search.ask(row, trials[i : i + AT_ONCE]) for i in range(0, len(trials), AT_ONCE)])
        return scores + price * torch.tensor([len(trial) - len(home) for trial in trials])

    people = torch.rand(population, genes, generator=rng, dtype=torch.float64)
    value = fitness(people)
    idle, best = 0, float(value.min())
    for _ in range(generations):
        children = people[torch.randperm(population, generator=rng)].clone()
        for i in range(0, population - 1, 2):
            if torch.rand((), generator=rng) < 0.9 and genes > 1:
                cut = 1 + search.draw(genes - 1)
                children[[i, i + 1], cut:] = children[[i + 1, i], cut:]
        drawn = torch.rand(children.shape, generator=rng, dtype=torch.float64)
        anew = (torch.rand(population, 1, generator=rng) < 0.3) & (torch.rand(children.shape, generator=rng) < 0.3)
        children = torch.where(anew, drawn, children)
        everyone, values = torch.cat([people, children]), torch.cat([value, fitness(children)])
        # Tournaments of as many as there are parents, with replacement; the best stays in any case.
        fights = torch.randint(0, len(everyone), (population - 1, population), generator=rng)
        won = fights.gather(1, values[fights].argmin(dim=1, keepdim=True)).flatten()
        stays = torch.cat([values.argmin()[None], won])
        people, value = everyone[stays], values[stays]
        idle = 0 if float(value.min()) < best - 1e-6 else idle + 1
        best = min(best, float(value.min()))
        if idle >= 5:
            return


def _filled(search: ByteSearch, row: int, size: int, benign: Sequence[Tensor]) -> Tensor:
    example, places = search.opened(row, size)
    if len(places):
        example[places] = search.piece(benign, len(places))
    return example
