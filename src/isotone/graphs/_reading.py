"""The graphs of a call, from the objects of other libraries by duck typing: none of them is imported."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ._graphs import Graphs

_WHERE = "graphs"


def read(*given: Any, **more: Any) -> Graphs:
    """The graphs of a call: `(x, edge_index[, batch])`, a graph object and node features `(g, h)`, or one object.

    Args:
        given: one of three forms: x (nodes, features), edge_index (2, edges), batch (nodes,); or anything with
            `edges()`, `num_nodes()` and, where it holds several graphs, `batch_num_nodes()`, as DGL's graphs have, and
            x; or anything with `x` and `edge_index`, as PyTorch Geometric's `Data` and `Batch` have, or `Graphs`.
        more: `batch`, `count`, `edge_type`, `edge_weight` for the first two forms.

    Raises:
        BadInput: something else, or what `Graphs` refuses.

    >>> isotone.graphs.read(torch.ones(3, 2), torch.tensor([[0, 2], [1, 1]]))
    Graphs(1 graph, 3 nodes of 2 features, 2 edges)
    """
    first = given[0] if given else None
    if isinstance(first, Graphs) and len(given) == 1 and not more:
        return first
    if isinstance(first, Tensor) and len(given) in (2, 3):
        if len(given) == 3:
            more["batch"] = given[2]
        return Graphs(first, given[1], **more)
    if len(given) == 2 and callable(getattr(first, "edges", None)) and isinstance(given[1], Tensor):
        return _of_dgl(first, given[1], more)
    if len(given) == 1 and isinstance(getattr(first, "x", None), Tensor) and hasattr(first, "edge_index"):
        return _of_pyg(first, more)
    came = ", ".join(type(part).__name__ for part in given) or "nothing"
    raise BadInput(_WHERE, f"{came} came", "(x, edge_index, batch), (g, h) or an object with x and edge_index is right")


def _of_dgl(g: Any, h: Tensor, more: dict[str, Any]) -> Graphs:
    source, target = g.edges()[:2]
    if int(g.num_nodes()) != len(h):
        raise BadInput(
            _WHERE, f"{len(h)} rows of features came for {int(g.num_nodes())} nodes", "one per node is right"
        )
    for name in ("edge_type", "edge_weight"):
        if getattr(g, name, None) is not None:
            more.setdefault(name, getattr(g, name))
    if hasattr(g, "batch_num_nodes"):
        sizes = torch.as_tensor(g.batch_num_nodes()).to(h.device)
        more.setdefault("count", len(sizes))
        more.setdefault("batch", torch.repeat_interleave(torch.arange(len(sizes), device=h.device), sizes))
    return Graphs(h, torch.stack([source, target]).long(), **more)


def _of_pyg(data: Any, more: dict[str, Any]) -> Graphs:
    weight = getattr(data, "edge_weight", None)
    attributes = getattr(data, "edge_attr", None)
    if weight is None and attributes is not None:
        if attributes.dim() > 1 and attributes.shape[-1] != 1:
            came = f"edge_attr of shape {tuple(attributes.shape)} came"
            raise BadInput(_WHERE, came, "one weight per edge, or edge_type, is right")
        weight = attributes.reshape(-1)
    parts: dict[str, Any] = {"edge_type": getattr(data, "edge_type", None), "edge_weight": weight}
    if getattr(data, "batch", None) is not None:
        parts |= {"batch": data.batch, "count": int(data.num_graphs)}
    return Graphs(data.x, data.edge_index, **(parts | more))
