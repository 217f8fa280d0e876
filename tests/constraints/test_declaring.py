"""Declaring, asking, letting go; and the sentence for each mistake."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import copy
import pickle
import re
import sys
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import isotone
from isotone import (
    Between,
    Intersection,
    Masked,
    MaxNorm,
    NonNegative,
    NonPositive,
    Sign,
    UnitNorm,
    constrain,
    constraints_of,
    project_,
    remove_constraint,
)
from isotone.constraints import _binding
from isotone.errors import BadInput, NoMatch

from .worlds import X, enforced, lowest, model, push


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.Softplus()))


# fmt: off
PATTERNS = [
    # pattern        what it names                                        why
    ("0.weight",     ("0.weight",),                                       "a name"),
    ("*.weight",     ("0.weight", "2.0.weight"),                          "a star crosses dots"),
    ("2.?.bias",     ("2.0.bias",),                                       "a question mark"),
    ("[02].weight",  ("0.weight",),                                       "a choice"),
    ("*",            ("0.weight", "0.bias", "2.0.weight", "2.0.bias"),    "all"),
    (("2.0.bias", "0.*"), ("0.weight", "0.bias", "2.0.bias"),             "several"),
]
# fmt: on


@pytest.mark.parametrize(("pattern", "names", "why"), PATTERNS, ids=[why for *_, why in PATTERNS])
def test_a_pattern_names_parameters_and_they_are_inside_at_once(pattern, names, why):
    net = plain()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    assert constrain(net, pattern, NonNegative()) == names
    assert constraints_of(net) == dict.fromkeys(names, NonNegative())
    assert isotone.violations(net) == dict.fromkeys(names, 0.0)
    for name, p in net.named_parameters():
        assert torch.equal(p, before[name].clamp(min=0) if name in names else before[name])


def test_declaring_keeps_parameters_gradients_and_keys():
    net = plain()
    before, keys = list(net.parameters()), list(net.state_dict())
    constrain(net, "*", NonNegative())
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert all(p.requires_grad and p.is_leaf for p in net.parameters())
    assert list(net.state_dict()) == keys
    assert len(list(net.children())) == 3


def test_declaring_twice_is_declaring_once():
    net = model()
    constrain(net, "*.weight", NonNegative())
    assert constraints_of(net) == {"0.weight": NonNegative(), "1.weight": NonNegative()}


def test_a_parameter_of_the_root_and_a_number():
    net = nn.ParameterDict({"slope": nn.Parameter(torch.tensor(-2.0))})
    assert constrain(net, "slope", NonNegative()) == ("slope",)
    assert float(net["slope"].detach()) == 0


def test_letting_go_leaves_the_values_and_ends_the_enforcement():
    net = model()
    before = net[0].weight.detach().clone()
    assert remove_constraint(net, "0.*") == ("0.weight",)
    assert constraints_of(net) == {"1.weight": NonNegative()}
    assert torch.equal(net[0].weight, before)
    push(net, torch.optim.SGD(net.parameters(), 0.4))
    assert lowest(net[0]) < 0
    assert lowest(net[1]) == 0
    assert remove_constraint(net) == ("1.weight",)
    constrain(net, "0.weight", NonPositive())
    assert constraints_of(net) == {"0.weight": NonPositive()}


def test_project_is_for_weights_that_moved_without_a_step():
    net = model()
    net[1].weight.requires_grad_(False)
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(-2)
    assert isotone.violations(net) == {"0.weight": 2.0, "1.weight": 2.0}
    project_(net)
    assert lowest(net) == 0
    assert lowest(net, "bias") == -2


def test_a_diverged_weight_is_not_made_to_look_well():
    net = model()
    with torch.no_grad():
        net[0].weight[0, 0] = torch.nan
    project_(net)
    violations = isotone.violations(net)
    assert violations["0.weight"] != violations["0.weight"]
    assert violations["1.weight"] == 0


def test_tied_weights_have_one_constraint():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert constrain(net, "*.weight", NonNegative()) == ("0.weight", "1.weight")
    with pytest.raises(BadInput, match=r"'1.weight' is to be held in NonPositive\(\), but '[01].weight' is the same"):
        constrain(net, "1.weight", NonPositive())
    assert enforced(net)


def test_a_tie_with_a_module_outside_the_model_is_seen():
    encoder, decoder = nn.Linear(3, 3), nn.Linear(3, 3)
    decoder.weight = encoder.weight
    constrain(encoder, "weight", NonNegative())
    with pytest.raises(BadInput, match=r"'weight' is to be held in NonPositive\(\), but 'Linear.weight' is the same"):
        constrain(decoder, "weight", NonPositive())


def test_weights_that_are_tied_later_are_refused_at_the_step():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    constrain(net, "0.weight", NonNegative())
    constrain(net, "1.weight", NonPositive())
    net[1].weight = net[0].weight
    with pytest.raises(BadInput, match=r"step: Linear.weight is held in .*, and a weight tied to it in"):
        push(net, torch.optim.SGD(net.parameters(), 0.4))
    remove_constraint(net, "1.weight")
    assert enforced(net)


def test_tied_weights_that_are_held_once_are_held_on_both_sides():
    net = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4))
    net[1].weight = net[0].weight
    constrain(net, "1.weight", NonNegative())
    assert enforced(net)


# fmt: off
MISTAKES = [
    # what is declared                                                         error     what the sentence says
    (lambda: constrain(plain(), "0.wieght", NonNegative()),                    NoMatch,  r"constrain: '0.wieght' matches no parameter. Did you mean '0.weight'\? Parameters: 0.bias"),
    (lambda: constrain(plain(), "*.kernel", NonNegative()),                    NoMatch,  r"'\*.kernel' matches no parameter"),
    (lambda: constrain(nn.ReLU(), "*", NonNegative()),                         NoMatch,  "There are no parameters"),
    (lambda: constrain(nn.BatchNorm1d(3), "running_mean", NonNegative()),      NoMatch,  "matches no parameter"),
    (lambda: constrain(nn.LazyLinear(3), "weight", NonNegative()),             BadInput, "'weight' is lazy and has no values yet; run one batch"),
    (lambda: constrain(nn.Linear(2, 2, dtype=torch.complex64), "weight", NonNegative()), BadInput, "'weight' holds torch.complex64 numbers; constraints are about real weights"),
    (lambda: constrain(nn.ParameterList([nn.Parameter(torch.ones(2).long(), requires_grad=False)]), "0", NonNegative()), BadInput, "'0' holds torch.int64 numbers"),
    (lambda: constrain(plain(), "0.weight", NonNegative),                      BadInput, "came as the constraint; one such as NonNegative"),
    (lambda: constrain(plain(), "*.weight", Sign((1, -1, 0))),                 BadInput, "'2.0.weight' does not fit; Sign: 3 directions came for 4 indices"),
    (lambda: constrain(nn.Linear(2, 2, dtype=torch.bfloat16), "bias", Between(0.301, 0.3011)), BadInput, "'bias' does not fit; Between.* has no number between"),
    (lambda: constrain(model(), "0.weight", NonPositive()),                    BadInput, r"held in NonPositive\(\), but '0.weight' is the same tensor .* Hold it in Intersection.* or let go of that one with remove_constraint first"),
    (lambda: remove_constraint(plain(), "0.weight"),                           NoMatch,  "remove_constraint: '0.weight' matches no constrained parameter. There are no"),
    (lambda: remove_constraint(model(), "0.bias"),                             NoMatch,  "Constrained parameters: 0.weight, 1.weight"),
]
# fmt: on


@pytest.mark.parametrize(("mistake", "error", "said"), MISTAKES, ids=[said for *_, said in MISTAKES])
def test_a_mistake_gets_one_sentence(mistake, error, said):
    with pytest.raises(error, match=said):
        mistake()


def test_a_refused_declaration_declares_nothing_and_moves_nothing():
    net = plain()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    with pytest.raises(BadInput):
        constrain(net, "*.weight", Sign((1, -1, 0)))
    assert constraints_of(net) == {}
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())
    push(net, torch.optim.SGD(net.parameters(), 0.4))
    assert lowest(net) < 0


def test_a_lazy_layer_can_be_held_after_its_first_batch():
    net = nn.Sequential(nn.LazyLinear(4), nn.LazyLinear(2))
    net(X)
    constrain(net, "*.weight", NonNegative())
    assert enforced(net)


@pytest.mark.parametrize("how", ["prune", "parametrize", "delete"])
def test_a_parameter_that_is_taken_away_is_said_once_and_can_be_let_go(how):
    net = model()
    match how:
        case "prune":
            prune.l1_unstructured(net[0], "weight", amount=1)
        case "parametrize":
            nn.utils.parametrizations.weight_norm(net[0])
        case "delete":
            del net[0].weight
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    with pytest.warns(UserWarning, match="has no parameter weight any more, so it is no longer held") as caught:
        push(net, optimizer)
    assert len(caught) == 1
    assert constraints_of(net) == {"1.weight": NonNegative()}
    assert remove_constraint(net, "0.weight") == ("0.weight",)


def test_models_may_be_made_in_one_thread_while_another_trains():
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), 0.4)
    alive = [_binding.Binding(layer) for _ in range(200)]
    stop = threading.Event()

    def make() -> None:
        while not stop.is_set():
            alive[:50] = [_binding.Binding(layer) for _ in range(50)]

    interval, maker = sys.getswitchinterval(), threading.Thread(target=make)
    sys.setswitchinterval(1e-6)  # as many turns as there can be
    maker.start()
    try:
        for _ in range(3000):
            optimizer.step()  # "Set changed size during iteration", were the registry read without its lock
    finally:
        stop.set()
        maker.join()
        sys.setswitchinterval(interval)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.names = nn.Embedding(5, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 1)


# fmt: off
NOTICES = [
    # pattern                            exclude                       what is said                                            why
    ("*.weight",                         (),                           ["also matches .*Names: names.weight, norm.weight", "does not match all.*attention.in_proj_weight"], "a bare glob"),
    ("*weight*",                         (),                           ["also matches .*Names: names.weight, norm.weight"],    "all weights"),
    ("*weight*",                         ("norm.*", "names.*"),        [],                                                      "left out"),
    ("*.weight",                         ("n*", "*.in_proj_weight"),   [],                                                      "what was missed is left out"),
    (["*weight*", "norm.weight", "names.weight"], (),                  [],                                                      "named beside the glob"),
    ("norm.*",                           (),                           [],                                                      "a glob for nothing else"),
    ("norm.weight",                      (),                           [],                                                      "a name"),
    ("out.*",                            (),                           [],                                                      "not about weights"),
]
# fmt: on


@pytest.mark.parametrize(("pattern", "exclude", "said", "why"), NOTICES, ids=[why for *_, why in NOTICES])
def test_a_glob_that_caught_or_missed_weights_of_another_kind_says_so(pattern, exclude, said, why):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        constrain(Encoder(), pattern, NonNegative(), exclude=exclude)
    assert len(caught) == len(said)
    for warning, words in zip(caught, said, strict=True):
        assert re.search(words, str(warning.message))


def test_what_matched_is_a_tuple_and_a_table_when_printed():
    net = plain()
    with torch.no_grad():
        net[0].weight.fill_(-0.5)
    matched = constrain(net, ["0.*", "2.0.weight"], Between(-0.25, 9))
    assert matched == ("0.weight", "0.bias", "2.0.weight")
    assert repr(matched) == "('0.weight', '0.bias', '2.0.weight')"
    assert str(matched).splitlines()[0] == "0.weight    4 x 3  Linear  Between(low=-0.25, high=9.0)  was 0.25 outside"
    assert pickle.loads(pickle.dumps(matched)).rows == matched.rows


# fmt: off
LAYERS = [
    # layer                                      parameter          dim              why
    (nn.Linear(3, 2),                            "weight",          (-1,),           "rows are units"),
    (nn.Conv2d(3, 8, 5),                         "weight",          (-3, -2, -1),    "a filter"),
    (nn.Conv1d(4, 4, 3, groups=4),               "weight",          (-2, -1),        "depthwise"),
    (nn.ConvTranspose2d(3, 8, 5),                "weight",          (-4, -2, -1),    "inputs first"),
    (nn.Embedding(5, 4),                         "weight",          (-1,),           "rows are names"),
    (nn.EmbeddingBag(5, 4),                      "weight",          (-1,),           "rows are names"),
    (nn.LSTM(3, 2),                              "weight_hh_l0",    (-1,),           "four gates below one another"),
    (nn.GRUCell(3, 2),                           "weight_ih",       (-1,),           "three gates"),
    (nn.MultiheadAttention(4, 2),                "in_proj_weight",  (-1,),           "three projections below one another"),
    (nn.Bilinear(3, 4, 2),                       "weight",          (-2, -1),        "a matrix per unit"),
]
# fmt: on


@pytest.mark.parametrize(("layer", "name", "dim", "why"), LAYERS, ids=[type(row[0]).__name__ for row in LAYERS])
def test_the_inputs_of_a_unit_are_read_off_the_layer(layer, name, dim, why):
    constrain(layer, name, MaxNorm(0.1))
    assert constraints_of(layer) == {name: MaxNorm(0.1, dim=dim)}
    w = dict(layer.named_parameters())[name].detach()
    assert bool((torch.linalg.vector_norm(w, dim=dim) <= 0.1).all())
    assert torch.linalg.vector_norm(w, dim=dim).numel() > 1, why


# fmt: off
UNREADABLE = [
    (lambda: constrain(nn.Linear(3, 2), "bias", MaxNorm(1.0)),                      r"'bias' does not fit; dim='inputs': 'bias' of Linear has shape \(2,\).*say which dimensions"),
    (lambda: constrain(nn.ConvTranspose1d(4, 4, 3, groups=2), "weight", UnitNorm()), "which of it is summed is not known"),
    (lambda: constrain(nn.Linear(3, 2), "weight", MaxNorm(1.0, dim=2)),             "weights of 2 dimensions came; dim=2 must be some of theirs"),
    (lambda: constrain(nn.Linear(3, 2), "weight", MaxNorm(1.0, dim=(1, -1))),       "each dimension once"),
    (lambda: constrain(nn.Linear(3, 2), "weight", Between(low=[0.0, 1.0])),         r"bounds of shape \(2,\) came for a weight of shape \(2, 3\)"),
    (lambda: constrain(nn.Linear(3, 2), "weight", Masked(NonNegative(), [True, False])), r"a mask of shape \(2,\) came for a weight of shape \(2, 3\)"),
    (lambda: constrain(nn.Linear(3, 2), "weight", Masked(UnitNorm(), [True, False, True])), "a mask came that takes some entries of a vector"),
    (lambda: constrain(nn.Linear(3, 2), "weight", Intersection(Between(1, 2), Between(-2, -1))), "has no number between its bounds|no weight that is in all"),
    (lambda: constrain(nn.Linear(3, 2), "weight", Intersection(Between(3, 4), MaxNorm(1.0))), "no weight that is in all of its sets was found"),
    (lambda: constrain(nn.Linear(3, 2), "weight", NonNegative(), metric="adam"),    "metric='adam' came; 'optimizer' or 'euclidean'"),
    (lambda: constrain(nn.Linear(3, 2), "weight", MaxNorm(1.0), clear_momentum=True), "clear_momentum came for MaxNorm"),
    (lambda: constrain(nn.Linear(3, 2), "weight", NonNegative(), exclude="wieght"), "Did you mean 'weight'"),
    (lambda: constrain(nn.Linear(3, 2), "weight", NonNegative(), exclude="weight"), "leaves nothing of 'weight'"),
    (lambda: constrain(nn.Linear(3, 2), (), NonNegative()),                         "matches no parameter"),
]
# fmt: on


@pytest.mark.parametrize(("mistake", "said"), UNREADABLE, ids=[said for _, said in UNREADABLE])
def test_what_does_not_fit_a_layer_gets_one_sentence(mistake, said):
    with pytest.raises((BadInput, NoMatch), match=said):
        mistake()


def test_suspended_constraints_let_weights_out_and_take_them_back():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    with isotone.suspended(net, "0.*") as names:
        push(net, optimizer)
        assert names == ("0.weight",)
        assert lowest(net[0]) < 0
        assert lowest(net[1]) == 0
        with isotone.suspended(net):
            push(net, optimizer)
            assert lowest(net[1]) < 0
        assert lowest(net[0]) < 0, "the inner block takes back only what it let out"
        assert lowest(net[1]) == 0
    assert lowest(net) == 0
    assert enforced(net)


def test_a_suspension_ends_with_an_error_too():
    net = model()

    def train() -> None:
        with isotone.suspended(net), torch.no_grad():
            net[0].weight.fill_(-1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert isotone.violations(net) == {"0.weight": 0.0, "1.weight": 0.0}
    assert enforced(net)


def test_strict_loading_refuses_weights_outside_before_they_are_copied():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    constrain(net, "0.weight", NonNegative(), strict=True)
    before = net[0].weight.detach().clone()
    free = {name: -torch.ones_like(p) for name, p in net.state_dict().items()}
    with pytest.raises(BadInput, match=r"load_state_dict: '0.weight' is 1 outside NonNegative\(\); .*strict=True"):
        net.load_state_dict(free)
    assert torch.equal(net[0].weight, before)
    net.load_state_dict({name: p.abs() for name, p in free.items()})
    assert bool((net[0].weight == 1).all())
    twin = copy.deepcopy(net)
    with pytest.raises(BadInput, match=r"'0.weight' is 1 outside"):
        twin.load_state_dict(free)


def test_declared_again_the_later_options_count():
    net = model()
    constrain(net, "0.weight", NonNegative(), strict=True)
    with pytest.raises(BadInput, match="strict=True"):
        net.load_state_dict({name: -torch.ones_like(p) for name, p in net.state_dict().items()})
    constrain(net, "0.weight", NonNegative())
    with pytest.warns(UserWarning, match="has been projected"):
        net.load_state_dict({name: -torch.ones_like(p) for name, p in net.state_dict().items()})
