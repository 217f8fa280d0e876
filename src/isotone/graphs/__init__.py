"""Graphs, several of them as one, and when one is another with additions.

- the names are those of PyTorch Geometric (`x`, `edge_index`, `batch`), the methods those of DGL (`edges()`,
  `num_nodes()`, `batch_num_nodes()`), so that a model written for either can read them; neither is needed;
- an edge (u, v) brings a message from u to v;
- what cannot be a graph is refused where it comes in.
"""

from ._graphs import Graphs as Graphs
from ._reading import read as read
from ._unions import unions as unions
