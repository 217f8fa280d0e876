"""Attacks that add to graphs without asking for gradients: dilution, imitation, union, and chance.

- dilution raises every count that something is divided by, and brings nothing itself: the worst case for means, degrees
  and softmax attention, where random additions may find nothing at all;
- imitation and union bring what harmless graphs have.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import BadInput
from ..graphs import Graphs
from ._graphs_search import AttackedGraphs, GraphSearch, Score

# How many nodes are added: some, and shares of those there are.
COUNTS, SHARES = (1, 10), (0.1, 1.0, 3.0)
# New edges of one trial; beyond it fewer nodes are added.
MOST_EDGES = 6_000
# Harmless graphs that are put together one by one, and those that are tried for each place.
GREEDY, BEST = 6, 8
WIRINGS = ("calling all", "called by all", "both", "alone")


def graph_dilution(
    score: Score,
    graphs: Sequence[Graphs],
    threshold: float,
    *,
    features: Tensor | None = None,
    relations: int = 1,
) -> AttackedGraphs:
    """Add nodes without features: calling every node, called by every node, both, or alone.

    Args:
        score: what is attacked: `Graphs` to one score each; a module in eval mode, or a function.
        graphs: the victims, and what is not detected.
        threshold: detected is a score above it. With -inf every graph is a victim, and `lowered` says where any
            addition lowers the score at all.
        features: of the added nodes, shape (features,); all 0 by default.
        relations: kinds of edges; an added node has an edge of each.

    Raises:
        BadInput: see `GraphSearch`.

    Cost: some 20 scores per victim.

    >>> net = isotone.nn.GraphTwin("gcn", features=2, width=4).eval()
    >>> one = isotone.graphs.Graphs(torch.ones(3, 2), torch.tensor([[0, 1], [1, 2]]))
    >>> isotone.attack.graph_dilution(net, [one], -torch.inf).lowered
    tensor([True])
    """
    search = GraphSearch("graph_dilution", score, graphs, threshold)
    for row in search.rows:
        home = search.home[row]
        one = home.x.new_zeros(home.x.shape[1]) if features is None else features.to(home.x)
        search.offer(
            row, [wired(home, one.expand(k, -1), wiring, relations) for k in counts(home) for wiring in WIRINGS]
        )
    return search.result()


def graph_imitation(
    score: Score,
    graphs: Sequence[Graphs],
    threshold: float,
    benign: Sequence[Graphs],
    *,
    tries: int = 10,
    relations: int = 1,
    seed: int = 0,
) -> AttackedGraphs:
    """Add nodes with the features of nodes of harmless graphs, wired as in `graph_dilution`.

    Args:
        score, graphs, threshold, relations: as for `graph_dilution`.
        benign: harmless graphs.
        tries: nodes that are imitated; each in several numbers and wirings, alone and added to the best so far.
        seed: of their choice.

    Cost: some 40 scores per victim and try.
    """
    search = GraphSearch("graph_imitation", score, graphs, threshold)
    pool = _benign(benign, "graph_imitation")
    nodes = torch.cat([one.x for one in pool])
    for row in search.rows:
        generator = torch.Generator().manual_seed(seed)  # what is found for one does not depend on the others
        home = now = search.home[row]
        lowest = torch.inf
        for _ in range(tries):
            one = nodes[int(torch.randint(len(nodes), (1,), generator=generator))]
            # Alone, and on top of what was best: different nodes lower different things.
            starts = [home] if now is home else [home, now]
            trials = [
                wired(start, one.expand(k, -1), wiring, relations)
                for start in starts
                for k in counts(home)
                for wiring in WIRINGS
            ]
            scores = search.ask(trials)
            best = search.offer(row, trials, scores)
            if float(scores[best]) < lowest:
                now, lowest = trials[best], float(scores[best])
    return search.result()


def graph_union(
    score: Score,
    graphs: Sequence[Graphs],
    threshold: float,
    benign: Sequence[Graphs],
    *,
    tries: int = 20,
    seed: int = 0,
) -> AttackedGraphs:
    """Put harmless graphs beside a victim, as components of their own: each, the best several times, and one
    after the other whatever lowers most.

    Args:
        score, graphs, threshold: as for `graph_dilution`.
        benign: harmless graphs.
        tries: how many of them are tried for each victim.
        seed: of their choice.

    Cost: `tries` scores per victim, and `GREEDY` * `BEST` at most.
    """
    search = GraphSearch("graph_union", score, graphs, threshold)
    pool = _benign(benign, "graph_union")
    for row in search.rows:
        generator = torch.Generator().manual_seed(seed)
        home = search.home[row]
        chosen = [pool[i] for i in torch.randperm(len(pool), generator=generator)[:tries].tolist()]
        trials = [home.union(other) for other in chosen]
        scores = search.ask(trials)
        search.offer(row, trials, scores)
        ranked = [chosen[i] for i in scores.argsort(stable=True).tolist()]
        again, more = home, []
        for step in range(10):
            again = again.union(ranked[0])
            if step in (1, 3, 9):
                more.append(again)
        search.offer(row, more)
        now, lowest = home.union(ranked[0]), float(scores.min())
        for _ in range(GREEDY):
            trials = [now.union(other) for other in ranked[:BEST]]
            scores = search.ask(trials)
            best = search.offer(row, trials, scores)
            if not float(scores[best]) < lowest:
                break
            now, lowest = trials[best], float(scores[best])
    return search.result()


def graph_random(
    score: Score,
    graphs: Sequence[Graphs],
    threshold: float,
    benign: Sequence[Graphs] = (),
    *,
    tries: int = 20,
    relations: int = 1,
    seed: int = 0,
) -> AttackedGraphs:
    """Add random edges, and nodes without features or, every other time, with those of nodes of harmless graphs.

    Weak, above all on attention: it is here because it needs nothing and is often the only attack that is reported.

    Args:
        score, graphs, threshold, relations: as for `graph_dilution`.
        benign: harmless graphs; none: all added nodes are without features.
        tries: trials per victim.
        seed: of what is added.

    Cost: `tries` scores per victim.
    """
    search = GraphSearch("graph_random", score, graphs, threshold)
    nodes = torch.cat([one.x for one in benign]) if len(benign) else None
    for row in search.rows:
        g = torch.Generator().manual_seed(seed)
        home, trials = search.home[row], []
        n = len(home.x)
        for attempt in range(tries):
            new = int(torch.randint(0, max(2, n // 2) + 1, (1,), generator=g))
            x = home.x.new_zeros(new, home.x.shape[1])
            if nodes is not None and attempt % 2:
                x = nodes[torch.randint(len(nodes), (new,), generator=g)]
            most = max(4, home.edge_index.shape[1])
            edges = int(torch.randint(1, most + 1, (1,), generator=g)) if n + new else 0
            ends = torch.randint(0, max(n + new, 1), (2, edges), generator=g)
            trials.append(home.plus(x, ends, edge_type=_kinds(home, edges, relations, g)))
        search.offer(row, trials)
    return search.result()


def counts(home: Graphs) -> list[int]:
    """How many nodes dilution adds to a graph."""
    n = len(home.x)
    return sorted({*COUNTS, *(round(share * n) for share in SHARES)} - {0})


def wired(home: Graphs, x: Tensor, wiring: str, relations: int = 1) -> Graphs:
    """A graph with nodes of features `x` (new, features) added, each wired to all old nodes in one way.

    >>> one = isotone.graphs.Graphs(torch.ones(2, 1), torch.tensor([[0], [1]]))
    >>> wired(one, torch.zeros(2, 1), "calling all").edge_index.tolist()
    [[0, 2, 2, 3, 3], [1, 0, 1, 0, 1]]
    """
    n = len(home.x)
    if wiring != "alone":
        x = x[: max(1, MOST_EDGES // max(1, n * relations))]
    new, old = torch.arange(n, n + len(x)), torch.arange(n)
    there = torch.cartesian_prod(new, old).reshape(-1, 2).T
    ends = {
        "calling all": there,
        "called by all": there.flip(0),
        "both": torch.cat([there, there.flip(0)], dim=1),
        "alone": there[:, :0],
    }[wiring]
    kinds = torch.arange(relations).repeat_interleave(ends.shape[1]) if relations > 1 else None
    return home.plus(x, ends.repeat(1, relations), edge_type=kinds)


def _kinds(home: Graphs, edges: int, relations: int, generator: torch.Generator) -> Tensor | None:
    return torch.randint(0, relations, (edges,), generator=generator) if relations > 1 else None


def _benign(benign: Sequence[Graphs], where: str) -> list[Graphs]:
    pool = [one for many in benign for one in many.split() if len(one.x)]
    if not pool:
        raise BadInput(where, "no harmless graph with a node came", "at least one is right")
    return pool
