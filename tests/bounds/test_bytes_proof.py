"""What is proved of a byte network, and the stretches of a file that hold its score."""

import itertools
import json
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from isotone.bounds import Edits, byte_certificate, byte_floor, byte_reasons
from isotone.errors import BadInput
from isotone.files import Layout, Part
from isotone.nn import ByteNetwork, GlobalGate, Windows
from isotone.verdict import Verdict


def network(context=0, **other):
    torch.manual_seed(0)
    return ByteNetwork(8, 4, hidden=(6,), labels=2, embedding=3, context=context, **other).eval()


def file_of(length, seed=0):
    return torch.randint(0, 256, (length,), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("context", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_it_is_proved_with_what_follows_for_files(context):
    net = network(context)
    found = byte_certificate(net, budget=64)
    assert found.verdict is Verdict.PROVED
    assert len(found.parts) == (3 if context else 1)
    said = str(found)
    assert "Appending any bytes" in said
    assert "multiple of 4" in said
    assert len([line for line in said.splitlines() if len(line) > 80]) == 0
    assert json.loads(json.dumps(found.to_dict()))["verdict"] == "proved"
    assert found.valid_for(net)
    with torch.no_grad():
        net.head.layers[0].weight[0, 0] += 1
    assert not found.valid_for(net)


def test_insertion_is_claimed_only_where_windows_stay_whole():
    said = str(byte_certificate(network(stride=1), budget=64))
    assert "Inserting" not in said
    assert "at other places" not in said


class Wrapped(nn.Module):
    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x):
        return self.parts(x)


def clamped(*sizes):
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.abs_()
    return layers


# fmt: off
HEADS = {
    # head                                           why it falls
    "free":             lambda: nn.Linear(8, 1),
    "softmax of two":   lambda: Wrapped(*clamped(8, 2), nn.Softmax(dim=1)),
    "layer norm":       lambda: Wrapped(nn.LayerNorm(8), *clamped(8, 1)),
    "last layer only":  lambda: Wrapped(nn.Linear(8, 6), nn.ReLU(), *clamped(6, 1)),
}
# fmt: on


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_falls_is_refuted_with_two_pooled_vectors(head):
    torch.manual_seed(0)
    net = ByteNetwork(8, 4, head=HEADS[head]()).eval()
    found = byte_certificate(net)
    assert found.verdict is Verdict.REFUTED
    witness = found.parts["head"].witness
    assert witness.drop > 0
    assert bool((witness.lower[0] <= witness.upper[0]).all())
    assert bool((witness.lower[0] >= 0).all())
    assert "claims:" not in str(found)


def test_a_gate_with_weights_of_any_sign_is_not_proved():
    net = network(context=3, monotone=False)
    net.head = network().head
    found = byte_certificate(net)
    assert found.verdict is Verdict.UNKNOWN  # a fall of the opening need not reach the score
    assert found.parts["opening of the gate"].verdict is Verdict.REFUTED


def test_training_mode_is_refused():
    with pytest.raises(BadInput, match=r"network\.eval"):
        byte_certificate(network().train())


class Another(ByteNetwork):
    def pooled(self, files):
        return -super().pooled(files)


class Closing(GlobalGate):
    def opening(self, context):
        return super().opening(context if context.dim() > 1 else -context)


class Blocks(Windows):
    pass


class Draws(nn.Module):
    def forward(self, weight):
        return weight * torch.rand(())


def with_a_part_called_parametrizations(net):
    net.encoder.convolution = nn.Sequential(OrderedDict(a=net.encoder.convolution, parametrizations=nn.Softmax(dim=0)))
    net.eval()


def with_a_row_of_nan(net):
    with torch.no_grad():
        net.encoder.embedding.weight[7] = torch.nan


# fmt: off
CHANGES = [
    # what is done to a network that is proved                                  what is said
    (lambda net: setattr(net, "encoder", nn.Softmax(dim=0)),                    "Softmax is not known"),
    (lambda net: setattr(net.gate, "encoder", nn.Flatten()),                    "Flatten is not known"),
    (lambda net: setattr(net, "__class__", Another),                            "is a Another"),
    (lambda net: setattr(net, "pooled", lambda files: -ByteNetwork.pooled(net, files)), "pooled() of its own"),
    (lambda net: net.gate.register_forward_hook(lambda *_: None),               "GlobalGate has a hook"),
    (lambda net: net.encoder.register_forward_hook(lambda *given: given[-1].flip(0)), "GatedConvolution has a hook"),
    (lambda net: net.encoder.embedding.register_forward_hook(lambda *_: None),  "Embedding has a hook"),
    (lambda net: setattr(net.encoder, "of_embedded", lambda x: x.flip(0)),      "of_embedded() of its own"),
    (lambda net: setattr(net.encoder.embedding, "max_norm", 1.0),               "max_norm"),
    (lambda net: setattr(net.encoder, "activation", lambda x: x.flip(0)),       "activation() of its own"),
    (lambda net: setattr(net.gate, "__class__", Closing),                       "a Closing for a GlobalGate"),
    (lambda net: setattr(net, "windows", Blocks(4, 4)),                         "a Blocks for a Windows"),
    (lambda net: register_parametrization(net.encoder.convolution, "weight", Draws().eval()), "Draws makes weights"),
    (with_a_part_called_parametrizations,                                       "Softmax is not known"),
    (with_a_row_of_nan,                                                         "not finite"),
]
# fmt: on


@pytest.mark.parametrize(("change", "said"), CHANGES, ids=[said for _, said in CHANGES])
def test_code_that_nobody_has_judged_is_not_proved(change, said):
    net = network(context=3)
    certificate = byte_certificate(net)
    assert certificate.verdict is Verdict.PROVED
    change(net)
    found = byte_certificate(net)
    assert found.verdict is Verdict.UNKNOWN
    assert said in found.reason
    assert not found.claims
    assert not certificate.valid_for(net)


def test_a_hook_on_all_modules_is_not_vouched_for():
    net = network()
    certificate = byte_certificate(net, budget=0)
    handle = nn.modules.module.register_module_forward_hook(lambda part, given, made: -made if part is net else None)
    try:
        assert "has a hook" in byte_certificate(net).reason
        assert not certificate.valid_for(net)
    finally:
        handle.remove()
    assert certificate.valid_for(net)


def test_a_certificate_is_void_where_windows_are_others_since_its_claims_name_them():
    net = network()
    certificate = byte_certificate(net, budget=0)
    net.windows = Windows(4, 2)
    assert not certificate.valid_for(net)


class Standardised(nn.Module):
    """What a window that is all the same has no spread for: 0 / 0."""

    def forward(self, windows):
        x = windows.float()
        return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)


class Reciprocal(nn.Module):
    def forward(self, windows):
        return 1 / windows.float()


@pytest.mark.parametrize("encoder", [Standardised, Reciprocal])
def test_a_window_that_an_encoder_makes_no_number_of_hides_no_other(encoder):
    torch.manual_seed(0)
    net = ByteNetwork(window=8, encoder=encoder(), hidden=(4,)).eval()
    assert byte_certificate(net, budget=0).verdict is Verdict.PROVED
    file = file_of(80)
    assert bool((net([torch.cat([file, torch.zeros(80, dtype=torch.uint8)])]) >= net([file])).all())


@pytest.mark.parametrize("words", [0, 16])
def test_an_encoder_whose_floats_overflow_is_not_proved_since_nan_hides_an_alarm(words):
    torch.manual_seed(0)
    net = ByteNetwork(4, 8, hidden=(4,), embedding=2, words=words).eval()
    before = byte_certificate(net, budget=0)
    assert before.verdict is Verdict.PROVED
    with torch.no_grad():
        if words:
            net.encoder.table.weight.mul_(1e38)
        else:
            net.encoder.embedding.weight[ord("b")] = 1e20
            net.encoder.convolution.weight[0, :4] = torch.tensor([1e30, -1e30, 1e30, -1e30])
            assert net([b"aaaaaaaabbbbbbbb"]).isnan()  # inf - inf
    after = byte_certificate(net, budget=0)
    assert (after.verdict, "overflow" in after.reason) == (Verdict.UNKNOWN, True)
    assert not before.valid_for(net)


def test_a_head_whose_floats_overflow_is_not_proved():
    net = ByteNetwork(8, 4, head=nn.Sequential(*clamped(8, 4), nn.ReLU(), *clamped(4, 1))).eval()
    assert byte_certificate(net, budget=0).verdict is Verdict.PROVED
    with torch.no_grad():
        net.head[0].weight.fill_(1e30)
        net.head[2].weight.zero_()  # inf * 0
    found = byte_certificate(net, budget=0)
    assert (found.verdict, "overflow" in found.reason) == (Verdict.UNKNOWN, True)


class OfOne(nn.Module):
    """Rises for several rows; files pass a head one at a time, and then it falls."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 1))

    def forward(self, x):
        return (x if len(x) > 1 else -x) @ self.weight


def test_a_head_is_judged_as_files_meet_it():
    found = byte_certificate(ByteNetwork(8, 4, head=OfOne()).eval())
    assert found.verdict is Verdict.REFUTED


def test_a_network_that_is_not_proved_has_no_floor_and_no_reasons():
    net, file = network(monotone=False), file_of(60)
    found = byte_floor(net, file, Edits(insertions=1))
    assert not found.holds(-1e9)
    assert torch.equal(found.score, net([file])[0])
    with pytest.raises(BadInput, match="not proved"):
        byte_reasons(net, file)


def test_a_floor_falls_away_when_the_head_is_changed_between_two_files():
    net, file = network(), file_of(60)
    assert torch.equal(byte_floor(net, file).floor, net([file])[0])
    with torch.no_grad():
        net.head.layers[0].weight[0, 0] = -5.0
    assert not byte_floor(net, file).holds(-1e9)


class Counting(nn.Module):
    """Looks at a window alone where there are few, and turns the sign where there are many."""

    def forward(self, windows):
        return windows.float() * (1 if len(windows) < 10_000 else -1)


def test_an_encoder_of_ones_own_is_proved_since_it_sees_one_window_at_a_time():
    torch.manual_seed(0)
    net = ByteNetwork(window=8, encoder=Counting(), hidden=(4,)).eval()
    assert byte_certificate(net).verdict is Verdict.PROVED
    many = file_of(8 * 20_000)
    assert bool((net([many]) >= net([many[:800]])).all())
    assert torch.equal(net.encoder(torch.ones(20_000, 8, dtype=torch.uint8)), torch.ones(20_000, 8))


@pytest.mark.parametrize("context", [0, 3])
@torch.no_grad()
def test_the_reasons_are_enough_in_any_file_and_none_can_be_spared(context):
    net = network(context)
    for seed in range(8):
        x = file_of(120, seed)
        score, bottom = float(net([x])[0, 1]), float(net([b""])[0, 1])
        threshold = bottom + 0.6 * (score - bottom)
        found = byte_reasons(net, x, threshold, label=1)
        assert found.enough
        assert found.score == score
        kept = [x[s.start : s.stop] for s in found.stretches]
        others = [file_of(4 * n, 99 + n) for n in range(20)]
        assert float(net([torch.cat(kept)])[0, 1]) == pytest.approx(found.reached, abs=1e-6)
        assert all(float(net([torch.cat([other, *kept[::-1], other])])[0, 1]) > threshold for other in others)
        for left_out in range(len(kept)):
            assert float(net([torch.cat([*kept[:left_out], *kept[left_out + 1 :], file_of(3)])])[0, 1]) <= threshold


def test_reasons_say_where_they_are():
    net, x = network(), file_of(60)
    parts = Layout("ELF", 60, 1, (Part("ELF header", "header", 0, 30), Part(".text", "section", 30, 60)))
    found = byte_reasons(net, x, float(net([x])[0, 0].detach()) - 1e-4, parts=parts)
    assert {name for s in found.stretches for name in s.part.split(", ")} <= {"ELF header", ".text"}
    assert "  bytes 0x" in str(found)
    assert "are enough" in str(found)


def test_where_nothing_is_enough():
    net = network()
    assert "0 windows are not enough" in str(byte_reasons(net, b"abc", threshold=1e9))
    assert not byte_reasons(net, file_of(99), threshold=1e9).enough
    assert len(byte_reasons(net, file_of(400), threshold=1e9, most=2).stretches) == 2
    with pytest.raises(BadInput, match="0 to 1 are there"):
        byte_reasons(net, file_of(99), label=2)
