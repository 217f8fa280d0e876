"""Compiled, exported and functional models: held, and without a trace of it."""

from __future__ import annotations

import copy

import pytest
import torch

import isotone

from .worlds import X, enforced, lowest, model


def test_a_compiled_model_is_held():
    torch._dynamo.reset()
    net = model()
    compiled = torch.compile(net, backend="eager")
    optimizer = torch.optim.SGD(compiled.parameters(), 0.4)
    for _ in range(3):
        optimizer.zero_grad()
        (compiled(X + 2).sum() + sum(p.sum() for p in net.parameters())).backward()
        optimizer.step()
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0
    assert torch.equal(compiled(X), net(X))
    assert isotone.violations(compiled) == {"_orig_mod.0.weight": 0.0, "_orig_mod.1.weight": 0.0}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_step_is_held():
    torch._dynamo.reset()
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    step = torch.compile(optimizer.step, backend="eager")
    for _ in range(3):
        optimizer.zero_grad()
        sum((p + 1.5).square().sum() for p in net.parameters()).backward()
        step()
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


def test_an_exported_graph_has_no_trace_of_the_constraint():
    net = model()
    graph = torch.export.export(net, (X,)).graph
    targets = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert targets == ["aten.linear.default", "aten.linear.default"]


def test_functional_call_uses_the_weights_it_is_given_and_puts_nothing_back():
    net = model()
    free = {name: -torch.ones_like(p) for name, p in net.named_parameters()}
    before = copy.deepcopy(net.state_dict())
    out = torch.func.functional_call(net, free, (X,))
    assert torch.equal(out, ((X @ -torch.ones(3, 4) - 1) @ -torch.ones(4, 2)) - 1)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert enforced(net)
