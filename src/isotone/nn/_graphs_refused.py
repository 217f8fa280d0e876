"""Which layers of PyTorch Geometric and DGL may stand in a graph classifier that additions must not lower.

- by the names of their classes, so neither library is needed, nor imported;
- what is not known is not passed: a layer of another kind may do anything with its neighbours;
- passing is no proof. It reads modules, numbers and the names that a forward uses; `certify` reads what is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from ..directions import matching
from ..errors import BadInput
from ._graphs_pool import REFUSED as POOLS
from ._safe import _fault as of_torch

_DEGREE, _SHARES, _COUNT = POOLS["gcn"][0], POOLS["attention"][0], POOLS["mean"][0]
_ROW = "it divides by what it knows of the whole graph or of the row, so what is added lowers the rest"

_LAYER = "GraphConv with aggr='add' or 'max'"
_POOL = "SumAggregation or MaxAggregation"
_NORM = "MonotoneBatchNorm"
_OF_PYG, _OF_DGL = "global_max_pool, or log1p of global_add_pool", "max_nodes, or log1p of sum_nodes"
_DIPS = "it falls before it rises"

# fmt: off
UNSAFE = {
    # class                       why an addition can lower a score      what does instead
    "GATConv":                    (_SHARES,                              _LAYER),
    "GATv2Conv":                  (_SHARES,                              _LAYER),
    "TransformerConv":            (_SHARES,                              _LAYER),
    "AGNNConv":                   (_SHARES,                              _LAYER),
    "SuperGATConv":               (_SHARES,                              _LAYER),
    "HGTConv":                    (_SHARES,                              _LAYER),
    "GENConv":                    (_SHARES,                              _LAYER),
    "PNAConv":                    (_COUNT,                               _LAYER),
    "SGConv":                     (_DEGREE,                              _LAYER),
    "ChebConv":                   (_DEGREE,                              _LAYER),
    "APPNP":                      (_DEGREE,                              _LAYER),
    "TAGConv":                    (_DEGREE,                              _LAYER),
    "GCN2Conv":                   (_DEGREE,                              _LAYER),
    "MeanAggregation":            (_COUNT,                               _POOL),
    "PowerMeanAggregation":       (_COUNT,                               _POOL),
    "SoftmaxAggregation":         (_SHARES,                              _POOL),
    "AttentionalAggregation":     (_SHARES,                              _POOL),
    "Set2Set":                    (_SHARES,                              _POOL),
    "DegreeScalerAggregation":    (_COUNT,                               _POOL),
    "VariancePreservingAggregation": (_COUNT,                               _POOL),
    "MedianAggregation":          (POOLS["median"][0],                   "MaxAggregation"),
    "QuantileAggregation":        (POOLS["median"][0],                   "MaxAggregation"),
    "MinAggregation":             (POOLS["min"][0],                      "MaxAggregation"),
    "MulAggregation":             (POOLS["mul"][0],                      "SumAggregation"),
    "StdAggregation":             (POOLS["std"][0],                      "MaxAggregation"),
    "VarAggregation":             (POOLS["var"][0],                      "MaxAggregation"),
    "SortAggregation":            (POOLS["sort"][0],                     "MaxAggregation"),
    "LSTMAggregation":            (POOLS["lstm"][0],                     _POOL),
    "GRUAggregation":             (POOLS["lstm"][0],                     _POOL),
    "GraphNorm":                  (_ROW,                                 _NORM),
    "PairNorm":                   (_ROW,                                 _NORM),
    "GraphSizeNorm":              (_COUNT,                               _NORM),
    "MessageNorm":                (_ROW,                                 _NORM),
    "MeanSubtractionNorm":        (_ROW,                                 _NORM),
    "DiffGroupNorm":              (_ROW,                                 _NORM),
    "InstanceNorm":               (_ROW,                                 _NORM),
    "LayerNorm":                  (_ROW,                                 _NORM),
    "AvgPooling":                 (_COUNT,                               "SumPooling or MaxPooling"),
    "GlobalAttentionPooling":     (_SHARES,                              "SumPooling or MaxPooling"),
    "SortPooling":                (POOLS["sort"][0],                     "MaxPooling"),
}
# Layers that rise with every message, as long as their weights are at least 0, and what they are given is.
SAFE_LAYERS = ("GraphConv", "GINConv", "SAGEConv", "GCNConv", "RGCNConv", "GINEConv")
FUNCTIONS = {
    # name in a forward         why                                                    what does instead
    "global_mean_pool":           (_COUNT,                               _OF_PYG),
    "mean_nodes":                 (_COUNT,                               _OF_DGL),
    "softmax_nodes":              (_SHARES,                              _OF_DGL),
    "global_sort_pool":           (POOLS["sort"][0],                     "global_max_pool"),
    "softmax":                    (_SHARES,                              "one logit per class with a sigmoid each"),
    "log_softmax":                (_SHARES,                              "one logit per class with a sigmoid each"),
    "gelu":                       (_DIPS,           "relu"),
    "silu":                       (_DIPS,           "relu"),
    "layer_norm":                 (_ROW,                                 _NORM),
}
# fmt: on
_AGGR = {"add": "sum", "sum": "sum", "max": "max"}


def refuse_unsafe_graph(model: nn.Module, free: Iterable[str] = ()) -> None:
    """Raise if a graph classifier has parts by which an addition could lower a score, with each name and its reason.

    Known are the layers, aggregations and norms of PyTorch Geometric, and those of DGL of the same names. Not seen: the
    features must be at least 0 where messages pass no activation (GraphConv, GINConv), and an activation that is at
    least 0 must stand behind every layer with a bias. `certify` on `PaddedGraphs` sees both.

    Args:
        model: any module.
        free: names or globs of submodules that see each node by itself before anything mixes nodes; they may hold
            anything.

    Raises:
        BadInput: means, degree normalisation, attention, norms of rows or graphs, layers that are not known,
            activations that dip, functions such as `global_mean_pool` in a forward, weights below 0.
        NoMatch: `free` names no submodule.

    >>> model = nn.Linear(3, 1)
    >>> _ = isotone.constrain(model, "weight", isotone.NonNegative())
    >>> isotone.nn.refuse_unsafe_graph(model)
    """
    modules = dict(model.named_modules())
    without = [
        name for pattern in free for name in matching(pattern, modules, "refuse_unsafe_graph(free=...)", "submodule")
    ]
    faults: list[tuple[str, str, str]] = []
    for name, module in modules.items():
        if any(name == one or name.startswith(f"{one}.") for one in without):
            continue
        called = f"{name!r} is a {type(module).__name__}" if name else f"a {type(module).__name__} came"
        found = list(_of_module(module))
        faults += [(called, reason, instead) for reason, instead in found]
        if not found:
            faults += _of_weights(name, module)
    if faults:
        raise BadInput(
            "refuse_unsafe_graph",
            "; ".join(f"{what}, and {reason}" for what, reason, _ in faults[:5]),
            f"{' / '.join(dict.fromkeys(instead for *_, instead in faults[:5]))} would be right",
            "If it sees each node by itself before anything mixes nodes, name it in free=.",
        )


def _of_module(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Why, and what instead."""
    names = {kind.__name__ for kind in type(module).__mro__}
    theirs = type(module).__module__.split(".")[0] in ("torch_geometric", "dgl")
    if theirs:
        yield from (UNSAFE[name] for name in names & UNSAFE.keys())
        if not names & UNSAFE.keys():
            yield from _of_layer(module, names)
    else:
        reason, instead = of_torch(module)
        if reason:
            yield reason, instead
        code = getattr(type(module).forward, "__code__", None)
        if code is not None and not type(module).__module__.startswith("torch."):
            yield from (
                (f"its forward calls {name}: {FUNCTIONS[name][0]}", FUNCTIONS[name][1])
                for name in code.co_names
                if name in FUNCTIONS
            )
    if "MessagePassing" in names and not theirs:
        yield "isotone does not know its messages", "a layer that is known, or `certify` on the padded form,"


def _of_layer(module: Any, names: set[str]) -> Iterator[tuple[str, str]]:
    kind = type(module).__name__
    if getattr(module, "normalize", False) is True:
        if kind == "GCNConv":
            yield _DEGREE, "normalize=False"
        elif kind == "SAGEConv":
            yield "it divides by the length of the state", "normalize=False"
    if getattr(module, "_norm", "none") not in ("none", None):  # DGL's GraphConv
        yield _DEGREE, "norm='none'"
    aggregation = getattr(module, "aggr", None)
    if "MessagePassing" in names or kind in SAFE_LAYERS:
        if kind not in SAFE_LAYERS:
            yield "isotone does not know its messages", "a layer that is known, or `certify` on the padded form,"
        elif isinstance(aggregation, str) and aggregation not in _AGGR:
            reason, instead = POOLS.get(aggregation, ("isotone does not know this aggregation", "sum or max"))
            yield f"{reason} (aggr={aggregation!r})", f"aggr={instead.replace('sum', 'add')}"
        elif isinstance(aggregation, list):
            yield "it holds several aggregations", "aggr='add' or 'max'"


def _of_weights(name: str, module: nn.Module) -> Iterator[tuple[str, str, str]]:
    for leaf, weight in module.named_parameters(recurse=False):
        if "bias" in leaf:
            continue
        least = float(weight.detach().min()) if weight.numel() else 0.0
        low = 1.0 + least if leaf == "eps" else least
        # NaN is not at least 0 either.
        if not low >= 0:
            where = f"{name}.{leaf}" if name else leaf
            yield (
                f"{where!r} goes down to {least:.2g}",
                "a weight below 0 turns more into less",
                f"isotone.constrain(model, {where!r}, isotone.NonNegative())",
            )
    eps = getattr(module, "eps", None)
    if (
        type(module).__name__ in ("GINConv", "GINEConv")
        and isinstance(eps, torch.Tensor)
        and not bool((eps >= -1).all())
    ):
        yield f"{name!r} has eps below -1", "it turns a node's own state round", "eps of at least -1"
