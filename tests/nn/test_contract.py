"""Every layer and network moves the way its directions say, whatever training does to it."""

from __future__ import annotations

import copy
import inspect
import io
import json
import pickle

import pytest
import torch
from torch import nn

import isotone
import isotone.nn as room
from isotone.certify import certify
from isotone.nn import MonotoneEnsemble, MonotoneNetwork
from isotone.verdict import Verdict

from .cases import BY_CONSTRUCTION, CASES, NO_MODELS, TWINS, as_function, drop, pairs, shake

# One ulp of elu (one pair of neighbours among 2e8 floats between -20 and 0 falls by it; torch 2.13.0 CPU).
ROUNDING = 1e-6
every_case = pytest.mark.parametrize("name", CASES)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@every_case
def test_the_output_moves_along_the_directions(name):
    case = CASES[name]
    net = case.make()
    model = as_function(net, case.inputs).eval()
    for _ in range(4):
        assert drop(model, case.inputs) <= ROUNDING, case.why
        shake(net)


@every_case
def test_the_output_does_move(name):
    """A constant would pass the test above."""
    case = CASES[name]
    model = as_function(case.make(), case.inputs).eval()
    lower, upper = pairs(case.inputs)
    assert float((model(*upper) - model(*lower)).max().detach()) > 1e-3


@every_case
def test_the_contract_sees_when_the_constraints_are_let_go(name):
    case = CASES[name]
    net = case.make()
    if not isotone.constraints_of(net):
        assert name.startswith(BY_CONSTRUCTION) or not list(net.parameters()), "weights that nothing holds"
        return
    # A maximum with 0 takes nothing away, whatever the signs of its rows.
    even_so = name in {"NameMax, up", "NameMax, some left out", "network, linear"}
    isotone.remove_constraint(net)
    model = as_function(net, case.inputs).eval()
    drops = []
    for _ in range(4 if even_so else 20):
        shake(net, steps=15)
        drops.append(drop(model, case.inputs))
        if drops[-1] > 0.01:
            break
    assert max(drops) <= ROUNDING if even_so else max(drops) > 0.01


@every_case
def test_certify_proves_it_after_training(name):
    case = CASES[name]
    net = shake(case.make()).eval()
    certificate = question(net, case.inputs)
    assert certificate.verdict is Verdict.PROVED, str(certificate)


@pytest.mark.parametrize("name", TWINS)
def test_certify_does_not_prove_the_unconstrained_twin(name):
    make, inputs = TWINS[name]
    net = shake(make()).eval()
    assert isotone.constraints_of(net) == {}
    assert question(net, inputs).verdict is Verdict.REFUTED


def question(net: nn.Module, inputs) -> object:
    lower, _ = pairs(inputs, rows=2)
    ways = tuple(torch.tensor(directions) for _, directions in inputs)
    domain = tuple((0.0, 1.0) if kind == "names" else None for kind, _ in inputs)
    return certify(as_function(net, inputs), tuple(lower), ways, domain, budget=400)


@every_case
@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_a_copy_keeps_the_guarantee_under_training(name, how):
    case = CASES[name]
    net = case.make()
    if how == "deepcopy":
        twin = copy.deepcopy(net)
    elif how == "pickle":
        twin = pickle.loads(pickle.dumps(net))
    else:
        file = io.BytesIO()
        torch.save(net, file)
        twin = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    assert isotone.constraints_of(twin) == isotone.constraints_of(net)
    shake(twin, steps=3)
    assert set(isotone.violations(twin).values()) <= {0.0}
    assert drop(as_function(twin, case.inputs).eval(), case.inputs) <= ROUNDING


@every_case
def test_it_can_be_exported_and_the_graph_scores_the_same(name):
    case = CASES[name]
    model = as_function(case.make(), case.inputs).eval()
    lower, upper = pairs(case.inputs)
    program = torch.export.export(model, tuple(lower))
    torch.testing.assert_close(program.module()(*upper), model(*upper))
    assert not [node for node in program.graph.nodes if "clamp_min" in str(node.target)]


@every_case
def test_bfloat16_works(name):
    case = CASES[name]
    model = as_function(case.make(), case.inputs).eval().to(torch.bfloat16)
    lower, _ = pairs(case.inputs)
    out = model(*[x.bfloat16() for x in lower])
    assert out.dtype == torch.bfloat16
    assert bool(out.isfinite().all())
    assert set(isotone.violations(model).values()) <= {0.0}


@every_case
def test_training_by_a_loss_reaches_every_parameter(name):
    case = CASES[name]
    model = as_function(case.make(), case.inputs)
    lower, _ = pairs(case.inputs)
    out = model(*lower)
    if list(model.parameters()):
        out.square().sum().backward()
        for parameter, p in model.named_parameters():
            assert p.grad is not None, parameter
            assert bool(p.grad.isfinite().all()), parameter


def test_every_public_name_has_a_row():
    public = {
        v for k, v in vars(room).items() if not k.startswith("_") and (inspect.isclass(v) or inspect.isfunction(v))
    }
    made = {type(module) for case in CASES.values() for module in case.make().modules()}
    assert public - set(NO_MODELS) <= made


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith(("network", "ensemble"))])
def test_its_arguments_make_another_that_loads_its_weights(name):
    case = CASES[name]
    net = shake(case.make())
    arguments = json.loads(json.dumps(net.arguments))
    twin = MonotoneEnsemble.made(arguments) if isinstance(net, MonotoneEnsemble) else MonotoneNetwork(**arguments)
    twin.load_state_dict(net.state_dict())
    lower, _ = pairs(case.inputs)
    a, b = (as_function(one, case.inputs)(*lower) for one in (net.eval(), twin.eval()))
    assert torch.equal(a, b)
    assert twin.arguments == net.arguments
    assert isotone.constraints_of(twin) == isotone.constraints_of(net)
