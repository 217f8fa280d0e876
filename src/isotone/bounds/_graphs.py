"""The certificate of a graph network, and what follows for single graphs: additions without limit, or nothing.

- no unit of a network sees more than one node or one edge, so what is proved of each holds for graphs of every size;
- the padded form of a stated size is proved as a whole beside it, whatever its nodes say: its pools and presences too;
- of any other network nothing is known, and it is said so.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..certify import Certificate, certify
from ..errors import BadInput
from ..graphs import Graphs, read
from ..nn import GraphConv, GraphNetwork, GraphTwin, PaddedGraphs
from ..nn._alone import PARTS, code_of_its_own, why_not_alone
from ..verdict import Verdict
from ._one import OfOne

SEARCH_CALLS = 300
_PADDED, _OF_STATES = "padded to", " after the encoder"
_Question = tuple[nn.Module, Any, Any, Any, str]

# fmt: off
CLAIMS = (
    "Adding nodes with any features, edges of any kind between any nodes, old or new, and whole components lowers no "
    "logit, in any number and combination; neither does raising the weight of an edge.",
)
ARGUMENT = (
    "What a node says by itself depends on its own features alone (isotone's encoder looks at nothing else, and "
    "another one is run on each node as if there were no other), and an addition leaves the features of old nodes as "
    "they are: so nothing is asked of the encoder's weights.",
    "A message is at least 0 and does not fall when its sender's state rises (proved above); an edge multiplies it "
    "by a weight of at least 0. So an addition puts further messages of at least 0 into the set that reaches a node, "
    "and raises others.",
    "Sum, largest, log(1 + sum) and the sum of the k largest of such a set do not fall by either; without an edge they "
    "are 0, the least that any message is.",
    "A state does not fall when the node's own state or what it hears rises (proved above), and is at least 0: layer "
    "by layer no state falls.",
    "The readouts are the same pools over all nodes, and an added node brings numbers of at least 0; the head does not "
    "fall when a number of the readout rises (proved above). So no logit falls, whatever the size of the graph.",
)
NOT_COVERED = (
    "Removing or replacing nodes or edges, calls that are redirected (an edge is lost), functions that are merged.",
    "Changing the features of nodes that exist, but for those of a direction.",
    "Weights of the head so large that floats overflow; an encoder of your own that changes from call to call.",
    "What turns a program into a graph: additions to the program must be additions to the graph.",
)
# fmt: on


@dataclass(frozen=True, eq=False)
class GraphCertificate:
    """What is known of a network on graphs, for graphs of every size.

    Args:
        verdict: PROVED if all parts are; REFUTED if the padded form is, with its witness; else UNKNOWN.
        reason: for UNKNOWN, why.
        parts: what was asked of `certify`, and its answer.
        claims: what follows for graphs if the verdict is PROVED.
        argument: why it follows.
        not_covered: what is not claimed.
    """

    verdict: Verdict
    reason: str
    parts: Mapping[str, Certificate]
    claims: tuple[str, ...]
    argument: tuple[str, ...] = ARGUMENT
    not_covered: tuple[str, ...] = NOT_COVERED

    def valid_for(self, network: GraphNetwork) -> bool:
        """Whether the network still is what was judged; the verdict is void otherwise."""
        if _changed(network):
            return False
        asked = _units(network)
        for name in self.parts:
            if name.startswith(_PADDED):
                asked[name] = _padded(network, int(name.split()[2]), of_states=name.endswith(_OF_STATES))
        return asked.keys() == self.parts.keys() and all(
            self.parts[name].valid_for(model) for name, (model, *_) in asked.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "parts": {name: part.to_dict() for name, part in self.parts.items()},
            "claims": list(self.claims),
            "argument": list(self.argument),
            "not_covered": list(self.not_covered),
        }

    def __str__(self) -> str:
        lines = [f"{self.verdict.name}  graphs of every size" + (f": {self.reason}" if self.reason else "")]
        lines += [f"  {part.verdict.name:<9} {name}" for name, part in self.parts.items()]
        if self.verdict is Verdict.REFUTED:
            lines += ["", *(str(part) for part in self.parts.values() if part.verdict is Verdict.REFUTED)]
        headings = [("not covered:", self.not_covered)]
        if self.verdict is Verdict.PROVED:
            headings = [("claims:", self.claims), ("because:", self.argument), *headings]
        for heading, sentences in headings:
            lines.append(f"  {heading}")
            for sentence in sentences:
                lines += textwrap.wrap(sentence, 80, initial_indent="    - ", subsequent_indent="      ")
        return "\n".join(lines)


def graph_certificate(
    network: nn.Module, nodes: int = 3, *, seed: int = 0, budget: int = SEARCH_CALLS
) -> GraphCertificate:
    """Prove that nothing added to a graph lowers a logit, or show two graphs of which the larger has a lower one.

    Args:
        network: `GraphNetwork`, in evaluation mode. `GraphTwin` can be refuted, not proved; of others nothing is known:
            ask `isotone.certify` about `PaddedGraphs` of them.
        nodes: of the padded form.
        seed, budget: of the searches for a witness, see `certify`.

    Raises:
        BadInput: a network in training mode.

    Cost: a call of `certify` for each unit, and one for the padded form: seconds.

    >>> net = isotone.nn.GraphNetwork(features=2, width=4, layers=1).eval()
    >>> isotone.bounds.graph_certificate(net).verdict
    <Verdict.PROVED: 'proved'>
    >>> isotone.bounds.graph_certificate(nn.Linear(2, 1).eval()).verdict
    <Verdict.UNKNOWN: 'unknown'>
    """
    if any(part.training for part in network.modules()):
        raise BadInput(
            "graph_certificate", "a network in training mode came, or a part of it", "network.eval() is right"
        )
    if changed := _changed(network):
        return GraphCertificate(Verdict.UNKNOWN, changed, {}, ())
    if not isinstance(network, GraphNetwork | GraphTwin):
        reason = f"isotone knows nothing of how {type(network).__name__} treats additions"
        return GraphCertificate(Verdict.UNKNOWN, reason, {}, ())

    def answer(asked: Mapping[str, _Question]) -> dict[str, Certificate]:
        return {
            name: certify(model, inputs, ways, domain, seed=seed, budget=budget, seconds=2.0, form=form)
            for name, (model, inputs, ways, domain, form) in asked.items()
        }

    found = answer(_units(network))
    called, proved = f"{_PADDED} {nodes} nodes", False
    if found and all(part.verdict is Verdict.PROVED for part in found.values()):
        # Whatever the nodes say; that some states come from no features is no harm to a proof.
        whole = answer({called + _OF_STATES: _padded(network, nodes, of_states=True)})
        proved = whole[called + _OF_STATES].verdict is Verdict.PROVED
    if not proved:
        whole = answer({called: _padded(network, nodes, of_states=False)})
    found |= whole
    verdicts = {part.verdict for part in found.values()}
    (padded,) = whole.values()
    if padded.verdict is Verdict.REFUTED:
        return GraphCertificate(Verdict.REFUTED, "", found, ())
    if isinstance(network, GraphTwin):
        reason = f"proofs are for {GraphNetwork.__name__}; the padded form was {padded.verdict.name} at this size alone"
        return GraphCertificate(Verdict.UNKNOWN, reason, found, ())
    if verdicts == {Verdict.PROVED}:
        return GraphCertificate(Verdict.PROVED, "", found, (*CLAIMS, *_growing(network)))
    reason = ", ".join(name for name, part in found.items() if part.verdict is not Verdict.PROVED) + " not proved"
    return GraphCertificate(Verdict.UNKNOWN, reason, found, ())


def _changed(network: nn.Module) -> str:
    """Where code that nobody has judged stands around the units: a subclass, a hook, another encoder, a method."""
    parts = network.named_modules() if isinstance(network, GraphNetwork) else ()
    for name, part in parts:
        if not isinstance(part, GraphNetwork | GraphConv):
            continue
        called = f"{name!r}" if name else "the network"
        if type(part) not in (GraphNetwork, GraphConv):
            return f"{called} is a {type(part).__name__}, a subclass of which isotone knows nothing"
        if own := code_of_its_own(part):
            return f"{called}: {own}"
        for one in (*part.messages, part.mixing) if isinstance(part, GraphConv) else ():
            if why := why_not_alone(one, PARTS):
                return f"{called}: {why}"
    return why_not_alone(network.encoder) if isinstance(network, GraphNetwork) else ""


@dataclass(frozen=True)
class GraphFloors:
    """What is left of the scores of graphs after any additions.

    Args:
        scores: float64, (graphs, labels).
        floors: the least logit after additions without limit, in the same shape; -inf where nothing is known.
        certificate: what it rests on.
    """

    scores: Tensor
    floors: Tensor
    certificate: GraphCertificate


def graph_floors(network: nn.Module, graphs: Graphs | Any, certificate: GraphCertificate | None = None) -> GraphFloors:
    """Certified lower bounds of the logits of each graph over additions without limit.

    Args:
        network: as for `graph_certificate`.
        graphs: in any form that the network reads as one argument.
        certificate: of this network, if there is one already.

    Raises:
        BadInput: a certificate of another network, or of other weights.

    Cost: one forward pass, and `graph_certificate`.

    A floor is a score in real arithmetic: the float32 score of a larger graph may be lower by rounding, some 1e-6 of
    its size.

    >>> net = isotone.nn.GraphNetwork(features=2, width=4, layers=1).eval()
    >>> one = isotone.graphs.Graphs(torch.ones(3, 2), torch.tensor([[0, 1], [1, 2]]))
    >>> found = isotone.bounds.graph_floors(net, one)
    >>> bool((found.floors == found.scores).all())
    True
    """
    if certificate is None:
        certificate = graph_certificate(network)
    elif certificate.verdict is Verdict.PROVED and not (
        isinstance(network, GraphNetwork) and certificate.valid_for(network)
    ):
        raise BadInput("graph_floors", "a certificate of another network came", "one of these weights is right")
    with torch.no_grad():
        scores = network(read(graphs)).double()
    known = certificate.verdict is Verdict.PROVED
    return GraphFloors(scores, scores.clone() if known else torch.full_like(scores, -torch.inf), certificate)


def _units(network: GraphNetwork | GraphTwin) -> dict[str, _Question]:
    """What is asked of the parts that see one node or one edge."""
    if not isinstance(network, GraphNetwork):
        return {}
    parts: dict[str, _Question] = {}
    like = next(network.head.parameters())
    for name, (unit, length) in network.units().items():
        asked = OfOne(unit) if name == "head" else unit
        parts[name] = (asked, like.new_zeros(2, length), +1, (0.0, None), f"{length} numbers of at least 0")
    ways = network.arguments["directions"]
    if any(ways):
        parts["features that grow"] = (
            network.encoder, like.new_zeros(2, network.features), torch.tensor(ways), None, "the features of a node",
        )  # fmt: skip
    return parts


def _padded(network: GraphNetwork | GraphTwin, nodes: int, *, of_states: bool) -> _Question:
    """What is asked of all parts together: a function of what nodes say, or of their features."""
    form = f"graphs padded to {nodes} nodes"
    if isinstance(network, GraphTwin):
        padded = PaddedGraphs(network, nodes).eval()
        example, ways, domain = padded.question(network.features)
        # Usual networks are meant for features of at least 0.
        return padded, example, ways, ((0.0, 1.0), *domain[1:]), form
    after = _AfterEncoder(network) if of_states else network
    padded = PaddedGraphs(after, nodes, network.relations).eval()
    example, ways, domain = padded.question(network.own_width if of_states else network.features)
    return padded, example, ways, domain, form + ", whatever each node says" * of_states


class _AfterEncoder(nn.Module):
    """The network, of graphs whose `x` is what each node says by itself."""

    def __init__(self, network: GraphNetwork) -> None:
        super().__init__()
        self.network = network

    def together(self, graphs: Graphs) -> Tensor:
        return self.network.of_states(graphs, graphs.x)

    def forward(self, graphs: Graphs, _: Tensor) -> Tensor:
        return self.together(graphs)


def _growing(network: GraphNetwork) -> tuple[str, ...]:
    ways = network.arguments["directions"]
    up, down = ([i for i, way in enumerate(ways) if way == sign] for sign in (1, -1))
    said = [f"raising features {up}"] * bool(up) + [f"lowering features {down}"] * bool(down)
    return (f"Neither does {' or '.join(said)} of any node.",) if said else ()
