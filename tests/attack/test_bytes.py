"""Attacks on files: they work on an ordinary MalConv and on broken non-negative ones, and lower nothing that rises."""

from __future__ import annotations

import functools

import pytest
import torch

import isotone
from isotone.attack import (
    Append,
    ByteVictim,
    Insert,
    Overwrite,
    bytes_benign,
    bytes_genetic,
    bytes_optimised,
    bytes_windows,
)
from isotone.attack._bytes_search import ByteSearch
from isotone.attack._wrong import BrokenAttack
from isotone.errors import BadInput
from isotone.nn import _bytes_windows as grid
from isotone.verdict import Verdict

from .malconv import (
    CHANNELS,
    LONGEST,
    WINDOW,
    LastLayerOnly,
    MalConv,
    PaddedPool,
    Truncated,
    TwoLogits,
    files,
    ours,
    trained,
    victim_of,
)

EVERY = {
    "benign content": functools.partial(bytes_benign, sizes=(128, 512, 1024), tries=3),
    "optimised bytes": functools.partial(bytes_optimised, size=256, steps=8, restarts=3),
    "benign windows": functools.partial(bytes_windows, window=WINDOW, size=256, candidates=4),
    "genetic sections": functools.partial(bytes_genetic, generations=3),
}
ROOMS = {"behind the end": Append(), "at the alignment": Insert(WINDOW)}


def twin():
    return ours(monotone=False)


def gated():
    return ours(context=6)


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    """Files of a kilobyte are scored in blocks of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "BLOCK_BYTES", 1024)
        yield


@functools.cache
def world(make, some=6):
    """Victim, bad files, a threshold at which 1 of 20 benign files is an alarm, and benign files to attack with."""
    victim = victim_of(trained(make))
    test, labels = files(2, 40)
    with torch.no_grad():
        threshold = float(victim.score([f for f, bad in zip(test, labels, strict=True) if not bad]).sort().values[-2])
    bad, good = ([f for f, label in files_of(3) if label == kind] for kind in (1, 0))
    return victim, bad[:some], threshold, good


def files_of(seed):
    return list(zip(*files(seed, 40), strict=True))


def attack(name, make, room, **other):
    victim, bad, threshold, good = world(make)
    return EVERY[name](victim, bad, threshold, good, room=room, **other)


# A network with a context embeds bytes twice: there is no one embedding to follow a gradient in.
PAIRS = [(ours, name) for name in EVERY] + [
    pytest.param(gated, name, marks=pytest.mark.slow) for name in EVERY if name != "optimised bytes"
]


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize(("make", "name"), PAIRS)
def test_no_attack_lowers_a_score_that_rises(make, name, room):
    found = attack(name, make, ROOMS[room])
    assert int(found.victims.sum()) >= 4
    assert not bool(found.lowered.any())
    assert bool((found.scores >= found.before).all()), "not by a bit"
    assert not bool(found.evaded.any())
    assert int(found.questions[found.victims].min()) >= 3


@pytest.mark.parametrize("make", [MalConv, pytest.param(twin, marks=pytest.mark.slow)])
def test_the_strongest_attack_evades_the_ordinary_models(make):
    """The positive control: else the test above would show nothing."""
    found = [
        attack("optimised bytes", make, ROOMS["at the alignment"]),
        attack("genetic sections", make, Insert(WINDOW)),
    ]
    evaded = found[0].evaded | found[1].evaded
    assert float(evaded[found[0].victims].float().mean()) >= 0.8


@pytest.mark.parametrize("name", EVERY)
def test_every_attack_lowers_scores_of_an_ordinary_model(name):
    found = attack(name, MalConv, Append())
    assert float(found.lowered[found.victims].float().mean()) >= 0.5
    for before, after in zip(world(MalConv)[1], found.examples, strict=True):
        assert Append().allows(before, after)
    scores = victim_of(trained(MalConv)).score(list(found.examples)).detach().double()
    assert torch.allclose(scores[~found.evaded], found.scores[~found.evaded], atol=1e-5)
    assert bool((scores[found.evaded] <= world(MalConv)[2]).all())


def test_overwriting_works_within_regions_only():
    room = Overwrite(lambda file: ((2, 60), (200, 10_000)))
    for name in EVERY:
        found = attack(name, MalConv, room)
        assert bool(found.lowered.any())
        for before, after in zip(world(MalConv)[1], found.examples, strict=True):
            assert len(before) == len(after)
            assert torch.equal(before[60:200], after[60:200])


# The three public designs. Each with weights as its training leaves them.
BROKEN_HEADS = {
    "two logits with a softmax": TwoLogits,
    "only the last layer non-negative": LastLayerOnly,
}


@pytest.mark.parametrize("name", BROKEN_HEADS)
def test_a_broken_head_is_refuted_with_a_witness(name):
    model = trained(BROKEN_HEADS[name])

    class BehindThePool(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pooled):
            logits = self.model.of_pooled(pooled)
            return torch.softmax(logits, dim=1)[:, 1:] if logits.shape[1] == 2 else logits

    certificate = isotone.certify(BehindThePool(), torch.zeros(2, CHANNELS), +1, (0, None), seconds=0)
    assert certificate.verdict is Verdict.REFUTED
    assert certificate.witness.drop > 0


# fmt: off
BROKEN = {
    # design                             model           attack            room               what shows it
    "two logits with a softmax":        (TwoLogits,      "optimised bytes", Append(),         {}),
    "only the last layer non-negative": (LastLayerOnly,  "optimised bytes", Append(),         {}),
    "padding in the pool":              (PaddedPool,     "optimised bytes", Append(),         {}),
    "truncation":                       (Truncated,      "benign content",  Insert(WINDOW),   {"sizes": (LONGEST,)}),
}
# fmt: on


@pytest.mark.parametrize("design", BROKEN)
def test_a_broken_design_is_refuted_with_a_pair_of_files(design):
    make, name, room, settings = BROKEN[design]
    found = attack(name, make, room, **settings)
    assert bool(found.lowered.any())
    at = int((found.before - found.scores).argmax())
    before, after = world(make)[1][at], found.examples[at]
    assert room.allows(before, after)
    with torch.no_grad():
        lower, upper = victim_of(trained(make)).score([before, after]).tolist()
    assert upper < lower - 1e-3


def test_the_same_pairs_of_files_do_not_break_ours():
    network = trained(ours)
    for make, name, room, settings in BROKEN.values():
        found = attack(name, make, room, **settings)
        with torch.no_grad():
            before, after = network(world(make)[1]), network(list(found.examples))
        assert bool((after >= before).all())


FILE = torch.arange(100, dtype=torch.uint8)


def spliced(at, count):
    return torch.cat([FILE[:at], torch.zeros(count, dtype=torch.uint8), FILE[at:]])


# fmt: off
ALLOWED = [
    # room                                  example                               is it allowed
    (Append(),                              spliced(100, 3),                      True),
    (Append(),                              spliced(99, 3),                       False),
    (Append(),                              FILE[:99],                            False),
    (Insert(10),                            spliced(0, 10),                       True),
    (Insert(10),                            spliced(100, 20),                     True),
    (Insert(10),                            spliced(35, 10),                      False),
    (Insert(10),                            spliced(30, 15),                      False),
    (Insert(1),                             spliced(35, 7),                       True),
    (Insert(10),                            torch.cat([FILE[:90], FILE[:20]]),    False),
    (Insert(10),                            FILE[:90],                            False),
    (Overwrite(lambda file: ((3, 5),)),     torch.cat([FILE[:3], FILE[:2], FILE[5:]]), True),
    (Overwrite(lambda file: ((3, 5),)),     torch.cat([FILE[:4], FILE[:2], FILE[6:]]), False),
    (Overwrite(lambda file: ((3, 5),)),     spliced(3, 2),                        False),
]
# fmt: on


@pytest.mark.parametrize(("room", "example", "allowed"), ALLOWED, ids=range(len(ALLOWED)))
def test_what_a_room_allows(room, example, allowed):
    assert room.allows(FILE, example) is allowed


@pytest.mark.parametrize(
    "room",
    [Append(), Insert(10), Insert(1), Overwrite(lambda file: ((3, 5), (90, 300)))],
    ids=["append", "insert aligned", "insert anywhere", "overwrite"],
)
def test_what_a_room_opens_it_allows(room):
    rng = torch.Generator().manual_seed(0)
    for size in (0, 1, 10, 33):
        example, places = room.opened(FILE, size, rng)
        example[places] = 7
        assert room.allows(FILE, example)
        assert len(places) >= size or isinstance(room, Overwrite)
    assert FILE.tolist() == list(range(100)), "the file itself is not touched"


def test_an_attack_that_changes_more_is_called_broken():
    victim = ByteVictim(lambda some: torch.tensor([float(len(file)) for file in some]))
    search = ByteSearch("too much", victim, [FILE], threshold=0.0, room=Append(), seed=0)
    search.ask(0, [FILE[:50]])
    with pytest.raises(BrokenAttack, match="more than Append allows"):
        search.result()
    with pytest.raises(BrokenAttack):
        bytes_genetic(victim, [FILE], 0.0, [FILE], inject=lambda file, genes: file[: 1 + int(genes[0] * 50)])


def lengths(some):
    return torch.tensor([-float(len(file)) for file in some])


# fmt: off
BAD = [
    # what is done                                                                      what is said
    (lambda: bytes_benign(ByteVictim(lengths), [FILE], float("nan"), [FILE]),           "a number is right"),
    (lambda: bytes_benign(ByteVictim(lengths), [FILE], -1e9, []),                       "no benign bytes came"),
    (lambda: bytes_benign(ByteVictim(lengths), [FILE], -1e9, [FILE[:0]]),               "no benign bytes came"),
    (lambda: bytes_benign(ByteVictim(lengths), [b"bytes"], -1e9, [FILE]),               "a bytes came as a file"),
    (lambda: bytes_benign(ByteVictim(lambda some: torch.zeros(3)), [FILE], -1.0, [FILE]), "one number per file"),
    (lambda: bytes_benign(ByteVictim(lambda some: torch.full((1,), torch.nan)), [FILE], -1.0, [FILE]), "NaN"),
    (lambda: bytes_optimised(ByteVictim(lengths), [FILE], -1e9, [FILE]),                "without table"),
    (lambda: gated().of_embedded(torch.zeros(99, 4)),                                   "with a context"),
]
# fmt: on


@pytest.mark.parametrize(("act", "said"), BAD, ids=[row[-1] for row in BAD])
def test_bad_input_is_refused(act, said):
    with pytest.raises(BadInput, match=said):
        act()


def test_files_that_are_not_detected_cost_nothing():
    found = bytes_benign(ByteVictim(lengths), [FILE, FILE[:10]], -50.0, [FILE], sizes=(60,), tries=2)
    assert found.additions.tolist() == [0, 60]
    assert found.questions.tolist() == [0, 2]
    assert found.examples[0] is FILE


def test_the_gradient_form_is_the_network():
    network = trained(ours)
    for size in (5, WINDOW, 500):
        x = torch.arange(size).remainder(251).to(torch.uint8)
        expected = network([x])[0]
        assert torch.allclose(network.of_embedded(network.encoder.embedding(x.int())), expected, atol=1e-5)
