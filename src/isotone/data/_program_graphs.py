"""Call graphs of programs as `isotone.graphs.Graphs`.

- a node's own features are what additions leave as it is: what a function does, what an import is called;
- names get numbers from training rows, for an embedding that is learnt;
- a call is an edge from what is called to who calls it: what a function can do is what it calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from ..errors import BadInput
from ..graphs import Graphs
from ._programs import KINDS

NODE_FEATURES = len(KINDS) + 1
FUNCTION, RARE, FIRST = 0, 1, 2  # numbers of names: none, one that no number was given to, the first that has one
_COLUMNS = ("functions", "imports", "callers", "callees")


def import_numbers(table: Any, fewest: int = 10) -> dict[str, int]:
    """A number from 2 for each name that enough programs call; 0 is a function's, 1 that of all other names.

    Args:
        table: training rows of `debian_call_graphs`: a name that is met first in a test row must have no number.
        fewest: programs. Names of fewer say little and would be memorised.

    >>> import_numbers([{"imports": ["exit", "read"]}, {"imports": ["exit"]}], fewest=2)
    {'exit': 2}
    """
    count = Counter(name for row in _rows(table, ("imports",)) for name in row["imports"])
    return {name: i for i, name in enumerate(sorted(n for n, c in count.items() if c >= fewest), start=FIRST)}


def call_graphs(table: Any, numbers: Mapping[str, int]) -> list[Graphs]:
    """One graph a row, of 9 features a node: log(1 + instructions) by kind, and the number of an import's name.

    Args:
        table: rows of `debian_call_graphs`, or anything like them: a table, or dictionaries with functions, imports,
            callers, callees.
        numbers: from `import_numbers`.

    Returns:
        Graphs for `isotone.nn.GraphNetwork(NODE_FEATURES, encoder=...)`, where the encoder may have any weights: it
        should embed the last feature (`torch.nn.Embedding(2 + len(numbers), ...)`), which is a number and no amount.

    Raises:
        BadInput: a column is missing, a function without its 8 numbers, a call of nobody.

    Cost: about 0.1 ms a row.

    >>> row = {"functions": [[3, 0, 0, 0, 1, 1, 0, 0]], "imports": ["exit"], "callers": [0], "callees": [1]}
    >>> (graph,) = call_graphs([row], {"exit": 2})
    >>> graph, graph.x[:, -1].tolist(), graph.edge_index.tolist()
    (Graphs(1 graph, 2 nodes of 9 features, 1 edge), [0.0, 2.0], [[1], [0]])
    """
    return [_graph(row, numbers) for row in _rows(table, _COLUMNS)]


def _graph(row: Mapping[str, Any], numbers: Mapping[str, int]) -> Graphs:
    try:
        counts = np.asarray(row["functions"], dtype=np.float32).reshape(len(row["functions"]), len(KINDS))
    except ValueError:
        raise BadInput(
            "functions", "one without 8 numbers came", f"one number for each of {', '.join(KINDS)}"
        ) from None
    names = row["imports"]
    x = np.zeros((len(counts) + len(names), NODE_FEATURES), dtype=np.float32)
    x[: len(counts), : len(KINDS)] = np.log1p(counts)
    x[len(counts) :, -1] = [numbers.get(name, RARE) for name in names]
    edges = np.array([row["callees"], row["callers"]], dtype=np.int64).reshape(2, -1)
    return Graphs(torch.from_numpy(x), torch.from_numpy(edges))


def _rows(table: Any, columns: tuple[str, ...]) -> Iterable[Mapping[str, Any]]:
    rows = table.select([c for c in columns if c in table.column_names]).to_pylist() if _is_table(table) else table
    for row in rows:
        missing = [c for c in columns if c not in row]
        if missing:
            raise BadInput(
                "call graphs", f"rows without {', '.join(missing)} came", "rows as of `debian_call_graphs` are right"
            )
        yield row


def _is_table(table: Any) -> bool:
    return hasattr(table, "select") and hasattr(table, "column_names")
