"""Byte networks: the exact maximum over the complete windows of a file, with its gradient, in any company."""

import copy
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

import isotone
from isotone.errors import BadInput
from isotone.nn import ByteNetwork, ByteStream, GatedConvolution, Windows, Words
from isotone.nn import _bytes_windows as grid
from isotone.nn._bytes_words import FACTOR


def file_of(length, seed=0, distinct=256):
    made = torch.Generator().manual_seed(seed)
    return torch.randint(0, distinct, (length,), generator=made, dtype=torch.uint8)


def network(window=8, stride=None, *, channels=12, context=0, seed=0, double=True, **other):
    torch.manual_seed(seed)
    net = ByteNetwork(channels, window, stride, (6,), 2, embedding=3, context=context, **other)
    return (net.double() if double else net).eval()


def naive_pool(x, net, features):
    """Every complete window at once."""
    n = net.windows.count(len(x))
    if not n:
        return None
    return features(torch.stack([x[t * net.windows.stride :][: net.windows.size] for t in range(n)]))


def naive(net, files):
    rows = []
    for x in files:
        opening = None
        if net.gate is not None:
            seen = naive_pool(x, net, net.gate.encoder)
            bottom = torch.zeros(net.gate.context, dtype=torch.float64)
            opening = net.gate.opening(bottom if seen is None else seen.amax(0).relu())
        seen = naive_pool(x, net, net.features(opening))
        rows.append(torch.zeros(net.channels, dtype=torch.float64) if seen is None else seen.amax(0).relu())
    return net.head(torch.stack(rows))


def gradients(net, value):
    net.zero_grad()
    value.square().sum().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


STEP = 128  # bytes of a block, as small as it is made for these tests

# fmt: off
EXACT = [
    # window stride context  lengths                                   why
    (8,      8,     0,       (7, 8, 9),                                "around one window"),
    (8,      8,     0,       (STEP - 1, STEP, STEP + 1, 2 * STEP + 8), "around the end of a block"),
    (8,      4,     0,       (STEP // 2 + 3, STEP // 2 + 4, STEP + 9), "windows that overlap across blocks"),
    (8,      3,     0,       (3 * STEP // 8 + 4, 1000, 3000),          "a stride that divides nothing"),
    (8,      1,     0,       (40, STEP // 8 + 7, 900),                 "every byte"),
    (4,      7,     0,       (3, 4, 300),                              "a stride longer than the window"),
    (8,      8,     5,       (7, 64, 1003),                            "a gate over the file"),
    (8,      2,     5,       (STEP // 4 + 7, 333),                     "a gate and overlaps"),
]
# fmt: on


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Blocks of 16 windows of 8: their ends are met by short files."""
    monkeypatch.setattr(grid, "BLOCK_BYTES", STEP)
    assert Windows(8, 8).in_block * 8 == STEP


@pytest.mark.parametrize(("window", "stride", "context", "lengths", "why"), EXACT, ids=[row[-1] for row in EXACT])
def test_values_and_gradients_are_those_of_the_naive_computation(window, stride, context, lengths, why):
    net = network(window, stride, context=context)
    files = [file_of(length, seed) for seed, length in enumerate(lengths)]
    assert torch.allclose(net(files), naive(net, files), rtol=0, atol=1e-13)
    ours, theirs = gradients(net, net(files)), gradients(net, naive(net, files))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], rtol=0, atol=1e-12), name


@pytest.mark.parametrize("bias", [-5.0, 0.0])
def test_windows_that_tie_and_channels_below_zero_learn_as_they_would(bias):
    net = network()
    with torch.no_grad():
        net.encoder.convolution.bias[: net.channels] = bias
    files = [torch.zeros(800, dtype=torch.uint8), file_of(64, 1, 4).repeat(12)]
    assert torch.allclose(net(files), naive(net, files), rtol=0, atol=1e-13)
    ours, theirs = gradients(net, net(files)), gradients(net, naive(net, files))
    for name in theirs:  # equal windows share a gradient that one of them gets whole
        assert torch.allclose(ours[name], theirs[name], rtol=0, atol=1e-12), name


def test_the_value_with_gradients_is_that_without_to_the_bit():
    net = network(double=False)
    files = [file_of(3000, seed) for seed in range(4)]
    with torch.no_grad():
        without = net(files)
    assert torch.equal(net(files), without)


def test_blocks_that_repeat_are_scored_once_and_count():
    net, seen = network(double=False), []
    net.encoder.register_forward_hook(lambda *_: seen.append(1))
    runs = [torch.full((6 * STEP,), kind, dtype=torch.uint8) for kind in (0, 9)]
    x = torch.cat([*runs, runs[0], file_of(300), *runs])
    with torch.no_grad():
        found = net([x])
    assert len(seen) < 12
    assert torch.allclose(found, naive(net.double(), [x]).float(), atol=1e-6)


@pytest.mark.parametrize("context", [0, 5])
def test_a_file_has_one_score_in_any_company(context):
    net = network(context=context, double=False)
    files = [file_of(length, length) for length in (0, 5, 8, 700, 129, 2000)]
    with torch.no_grad():
        alone = torch.cat([net([file]) for file in files])
        assert torch.equal(net(files), alone)
        assert torch.equal(net(files[::-1]), alone.flip(0))
        assert torch.equal(net([*files, *files])[6:], alone)


KINDS = {
    "tensor": lambda x: x,
    "bytes": lambda x: x.numpy().tobytes(),
    "array": lambda x: x.numpy(),
    "view": memoryview,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_may_come_as(kind):
    net, x = network(), file_of(500)
    given_ = KINDS[kind](x.numpy() if kind == "view" else x)
    assert torch.equal(net([given_]), net([x]))


NETS = {"plain": network(double=False), "gated": network(context=5, double=False, seed=1)}
HEX = st.binary(min_size=0, max_size=400)


@pytest.mark.parametrize("kind", NETS)
@settings(max_examples=25, deadline=None)
@given(data=HEX, suffix=HEX)
def test_appending_never_lowers_a_logit_by_a_single_bit(kind, data, suffix):
    with torch.no_grad():
        before, after = NETS[kind]([data, data + suffix])
    assert bool((after >= before).all())


@pytest.mark.parametrize("kind", NETS)
@settings(max_examples=25, deadline=None)
@given(data=HEX, payload=HEX, at=st.integers(0, 50))
def test_neither_does_inserting_whole_windows_at_the_grid(kind, data, payload, at):
    cut, payload = min(at, len(data) // 8) * 8, payload[: len(payload) // 8 * 8]
    with torch.no_grad():
        before, after = NETS[kind]([data, data[:cut] + payload + data[cut:]])
    assert bool((after >= before).all())


# Ways to break the pool, each seen in public code; the same pairs must find them.
BROKEN = {
    "padding in the pool": lambda x: torch.cat([x, torch.zeros(1024 - len(x), dtype=torch.uint8)]),
    "truncation": lambda x: x[:512],
    "the last window filled up": lambda x: torch.cat([x, torch.zeros(-len(x) % 8, dtype=torch.uint8)]),
}


def falls(net, seen=lambda x: x):
    """How many of 30 short files lose a logit to a long run of one byte, behind or before them."""
    found = 0
    for seed in range(30):
        x = file_of(81 + seed, seed)
        run = torch.full(((1024 - len(x)) // 8 * 8,), seed, dtype=torch.uint8)
        tail = torch.full((1024 - len(x) - len(run),), seed, dtype=torch.uint8)
        with torch.no_grad():
            before, *after = net([seen(x), seen(torch.cat([x, run, tail])), seen(torch.cat([run, x, tail]))])
        found += any(bool((y < before).any()) for y in after)
    return found


@pytest.mark.parametrize("fault", BROKEN)
def test_a_pool_with_a_fault_is_found(fault):
    assert falls(NETS["plain"], BROKEN[fault])


@pytest.mark.parametrize("monotone", [True, False])
def test_a_gate_over_the_file_falls_only_with_weights_of_any_sign(monotone):
    torch.manual_seed(0)
    net = ByteNetwork(12, 8, hidden=(6,), embedding=3, context=5, monotone=monotone).eval()
    net.head = NETS["plain"].head
    with torch.no_grad():
        net.gate.mixing.weight.mul_(8)
        net.gate.bias.zero_()
    assert bool(falls(net)) != monotone


@settings(max_examples=25, deadline=None)
@given(pieces=st.lists(st.binary(max_size=300), max_size=8))
def test_a_stream_has_the_score_of_what_has_arrived_to_the_bit_and_never_falls(pieces):
    net = NETS["plain"]
    stream, last = ByteStream(net), torch.full((2,), -torch.inf)
    with torch.no_grad():
        for n, piece in enumerate(pieces):
            stream.feed(piece)
            now = stream.score()
            assert torch.equal(now, net([b"".join(pieces[: n + 1])])[0])
            assert bool((now >= last).all())
            last = now
    assert stream.length == sum(map(len, pieces))


@pytest.mark.parametrize("context", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_the_padded_form_is_the_same_function_and_certify_proves_it(context):
    net = network(4, channels=6, context=context, double=False)
    x = file_of(20)
    windows = torch.stack([x.reshape(5, 4), file_of(20, 1).reshape(5, 4)]).int()
    presence = torch.tensor([[1.0, 1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    expected = net([torch.cat([x[:8], x[16:]]), b""])
    assert torch.allclose(net.padded()(windows, presence), expected, atol=1e-6)
    certificate = isotone.certify(net.padded(), (windows, presence), (0, +1), ((0, 255), (0, 1)), budget=64, seconds=0)
    assert certificate.verdict is isotone.Verdict.PROVED, certificate
    head = isotone.certify(net.head, torch.zeros(2, 6), +1, (0, None), budget=64, seconds=0)
    assert head.verdict is isotone.Verdict.PROVED


def test_the_unconstrained_twin_is_refuted():
    net = network(4, channels=6, monotone=False, double=False)
    assert isotone.certify(net.head, torch.zeros(2, 6), +1, (0, None)).verdict is isotone.Verdict.REFUTED


class _Mixing(nn.Module):
    """A batch norm without its name."""

    def forward(self, windows):
        x = windows.float()
        return F.batch_norm(x, None, None, training=True)


class _Drawing(nn.Module):
    def forward(self, windows):
        return F.dropout(windows.float(), 0.5, training=True)


class _OneNumber(nn.Module):
    def forward(self, windows):
        return windows.float().sum(1)


class _Choosing(nn.Module):
    def forward(self, windows):
        return windows.float() if bool((windows >= 0).all()) else -windows.float()


class _Floats(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.after = after

    def forward(self, windows):
        return self.after(windows.float())


# fmt: off
REFUSED = [
    # encoder                                            what the refusal says
    (_Floats(nn.BatchNorm1d(8)),                         "'after' is a BatchNorm1d"),
    (_Floats(nn.BatchNorm1d(8)).eval(),                  "'after' is a BatchNorm1d"),
    (_Floats(nn.Dropout(0.1)),                           "'after' is a Dropout"),
    (_Floats(nn.RReLU()),                                "'after' is a RReLU"),
    (_Mixing(),                                          "other windows stood beside it"),
    (_Drawing(),                                         "at another time"),
    (_OneNumber(),                                       "(6, width) of floats"),
    (_Choosing(),                                        "torch.vmap cannot run it"),
]
# fmt: on


@pytest.mark.parametrize(("encoder", "said"), REFUSED, ids=[row[-1] for row in REFUSED])
def test_an_encoder_is_refused_by_name(encoder, said):
    with pytest.raises(BadInput) as fault:
        ByteNetwork(window=8, encoder=encoder)
    assert said in str(fault.value)


@pytest.mark.parametrize("after", [nn.LayerNorm(8), nn.Linear(8, 5), nn.GELU()], ids=str)
def test_an_encoder_may_be_anything_that_looks_at_one_window_alone(after):
    torch.manual_seed(0)
    net = ByteNetwork(window=8, encoder=_Floats(after), hidden=(4,)).eval()
    assert bool((net([file_of(300)]) >= net([file_of(300)[:96]])).all())


# fmt: off
BAD = [
    # what is done                                       what the refusal says
    (lambda net: net(b"one file"),                       "a list of files is right"),
    (lambda net: net(file_of(20)),                       "a list of files is right"),
    (lambda net: net([torch.zeros(9)]),                  "uint8 in one row is right"),
    (lambda net: net(["path/to/file"]),                  "FileBytes(path)"),
    (lambda net: net([3]),                               "FileBytes(path)"),
    (lambda net: net([[b"a", b"b"]]),                    "a list of files in a list"),
    (lambda net: net([[1, 256]]),                        "numbers from 0 to 255"),
    (lambda net: net([np.zeros(99)]),                    "as many uint8 numbers"),
    (lambda net: ByteStream(copy.deepcopy(net).train()), "network.eval()"),
    (lambda net: ByteStream(NETS["gated"]),              "Score the whole file instead"),
    (lambda net: ByteNetwork(window=0),                  "window=0 came"),
    (lambda net: ByteNetwork(stride=1.5),                "stride=1.5 came"),
    (lambda net: net.centre_([b"x" * 99], prior=1.0),    "a share between 0 and 1"),
    (lambda net: ByteNetwork(4, 8, head=nn.Linear(4, 1)).centre_([b"x" * 99]), "without MonotoneLinear"),
]
# fmt: on


@pytest.mark.parametrize(("act", "said"), BAD, ids=[row[-1] for row in BAD])
def test_bad_input_is_refused(act, said):
    with pytest.raises(BadInput) as fault:
        act(NETS["plain"])
    assert said in str(fault.value)


def test_not_a_number_in_a_window_is_not_lost():
    net = network(double=False)
    with torch.no_grad():
        net.encoder.embedding.weight[7] = torch.nan
        assert not bool(net([torch.cat([torch.full((8,), 7, dtype=torch.uint8), file_of(1600)])]).isfinite().any())


@pytest.mark.parametrize(("context", "monotone"), [(0, True), (4, True), (4, False)])
def test_it_is_made_again_from_its_arguments_centred_and_trained(context, monotone):
    torch.manual_seed(0)
    net = ByteNetwork(8, 8, hidden=(6,), embedding=3, context=context, monotone=monotone)
    again = ByteNetwork(**net.arguments)
    again.load_state_dict(net.state_dict())
    files = [file_of(200 + 9 * s, s) if s % 2 else file_of(200, s, 60) for s in range(24)]
    labels = torch.tensor([[float(s % 2)] for s in range(24)])
    assert torch.equal(again.eval()(files), net.eval()(files))
    net.centre_(files, prior=0.25)
    assert float(net(files).detach().mean()) == pytest.approx(np.log(1 / 3), abs=1e-3)
    net.train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    losses = []
    for _ in range(15):
        loss = F.binary_cross_entropy_with_logits(net(files), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    assert all(v == 0 for v in isotone.violations(net).values())


def test_the_encoder_is_the_convolution_it_says():
    torch.manual_seed(0)
    encoder, x = GatedConvolution(8, 5, 3), file_of(80)
    weight = encoder.convolution.weight.reshape(10, 8, 3).transpose(1, 2)  # (out, embedding, window)
    a, b = F.conv1d(encoder.embedding(x.int()).T[None], weight, encoder.convolution.bias, stride=8)[0].T.chunk(2, 1)
    assert torch.allclose(encoder(x.reshape(10, 8)), a * b.sigmoid(), atol=1e-5)


def words_of(data, window=64):
    """Their rows, by another way."""
    found = []
    for start in range(0, len(data) // window * window, window):
        piece = data[start : start + window]
        hashes = []
        for word in re.findall(rb"[A-Za-z0-9_]+", piece):
            if len(word) >= 4:
                value = sum((byte + 1) * pow(FACTOR, at + 1, 2**64) for at, byte in enumerate(word)) % 2**64
                signed = value - 2**64 if value >= 2**63 else value
                mixed = ((signed ^ (signed >> 32)) * 0x2545F4914F6CDD1D) % 2**64
                hashes.append((mixed >> 24 & 2**39 - 1) % 50)
        found.append(hashes)
    return found


@settings(max_examples=30, deadline=None)
@given(data=st.lists(st.sampled_from([b"connect", b"bind", b"abc", b"_x9", b"\0", b" ", b"\xff\xfe", b"longer_word"])))
def test_words_are_the_runs_of_letters_of_each_window(data):
    file = b"".join(data).ljust(128, b"\0")[:128]
    encoder = Words(64, 5, rows=50)
    windows = torch.tensor(list(file), dtype=torch.uint8).reshape(2, 64)
    rows, window = encoder.rows_of(windows)
    expected = words_of(file)
    assert [rows[window == at].tolist() for at in range(2)] == expected
    values = encoder(windows)
    for at, hashes in enumerate(expected):
        table = encoder.table.weight[hashes] if hashes else torch.zeros(1, 5)
        assert torch.equal(values[at], table.amax(0).relu())


def test_a_network_of_words_says_the_same_wherever_they_stand_and_only_rises():
    torch.manual_seed(0)
    net = ByteNetwork(8, 64, hidden=(4,), words=100).eval()
    a, b = b"\0connect\0".ljust(64, b"\0"), b"can not connect".rjust(64, b"\1")
    with torch.no_grad():
        assert bool((net([a + b]) >= net([a])).all())
        assert torch.equal(net.encoder(torch.tensor([list(a)]))[0].relu() > net.encoder(torch.tensor([list(b)]))[0],
                           torch.zeros(8, dtype=torch.bool))  # fmt: skip
    again = ByteNetwork(**net.arguments)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()([a, b]), net([a, b]))
    stream = ByteStream(net)
    stream.feed(a + b)
    assert torch.equal(stream.score(), net([a + b])[0])


@pytest.mark.parametrize(("byte", "learns"), [(0, False), (1, True)])
def test_windows_of_zeros_start_as_nothing_and_teach_the_convolution_nothing(byte, learns):
    encoder = GatedConvolution(8, 5, 3)
    window = torch.full((1, 8), byte, dtype=torch.uint8)
    encoder(window).sum().backward()
    a, b = encoder.convolution.bias.chunk(2)
    assert torch.allclose(encoder(window)[0], a * b.sigmoid()) != learns
    assert bool(encoder.convolution.weight.grad.any()) == learns
    assert bool(encoder.embedding.weight.grad[byte].any())  # the row itself is learnt as any other
