"""Training graphs made of two, so that large is not learnt to mean bad."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import BadInput
from ._graphs import Graphs


def unions(
    graphs: Sequence[Graphs], labels: Tensor, share: float = 0.3, generator: torch.Generator | None = None
) -> tuple[list[Graphs], Tensor]:
    """The graphs, and random pairs of them as one graph each; a pair has every label that one of its two has.

    What is bad stays bad beside a harmless part, and two harmless parts are harmless: a network that reads this learns
    from what there is and not from how much there is.

    Args:
        graphs: one by one.
        labels: (graphs,) or (graphs, labels), 0 or 1.
        share: how many pairs, as a share of the graphs.
        generator: of the pairs.

    Returns:
        Graphs and labels, the pairs last.

    Raises:
        BadInput: another number of labels than of graphs.

    >>> one = isotone.graphs.Graphs(torch.ones(2, 1), torch.tensor([[0], [1]]))
    >>> more, labels = isotone.graphs.unions([one, one], torch.tensor([1.0, 0.0]), share=0.5)
    >>> more[-1], len(labels)
    (Graphs(1 graph, 4 nodes of 1 feature, 2 edges), 3)
    """
    if len(labels) != len(graphs) or not graphs:
        raise BadInput("unions", f"{len(labels)} labels came for {len(graphs)} graphs", "one row each is right")
    pairs = torch.randint(0, len(graphs), (round(share * len(graphs)), 2), generator=generator)
    made = [graphs[a].union(graphs[b]) for a, b in pairs.tolist()]
    return [*graphs, *made], torch.cat([labels, torch.maximum(labels[pairs[:, 0]], labels[pairs[:, 1]])])
