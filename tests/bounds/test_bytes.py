"""Floors of files: those of the worst edit, found by trying all, and never passed by attacks."""

import itertools
import resource

import pytest
import torch

from isotone.bounds import ByteFloor, Edits, byte_floor
from isotone.bounds._bytes_scan import Scan, cuts_needed
from isotone.errors import BadInput
from isotone.nn import ByteNetwork, Windows
from isotone.nn import _bytes_windows as grid


def network(window=6, stride=1, context=0, seed=0, channels=8):
    torch.manual_seed(seed)
    net = ByteNetwork(channels, window, stride, (6,), 2, embedding=3, context=context).eval()
    net.centre_([file_of(60, 500 + s) for s in range(20)], prior=0.5)
    if context:
        with torch.no_grad():
            net.gate.mixing.weight.mul_(2)
            net.gate.bias.fill_(-1.0)
    return net


def file_of(length, seed=0, distinct=256):
    made = torch.Generator().manual_seed(seed)
    return torch.randint(0, distinct, (length,), generator=made, dtype=torch.uint8)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(grid, "BLOCK_BYTES", 96)


def values_of(net, x, context=None):
    """Value of every window."""
    n = net.windows.count(len(x))
    return net.features(context)(net.windows.block(x, 0, n)) if n else torch.empty(0, net.channels)


def surviving(n, reach, cuts, touched=()):
    return [t for t in range(n) if t not in touched and not any(t + 1 <= j <= t + reach - 1 for j in cuts)]


def by_trying(net, x, cuts, regions=()):
    """The floor of the worst places, all of them tried; plain networks only."""
    values, n, reach = values_of(net, x), net.windows.count(len(x)), net.windows.reach
    touched = {t for t in range(n) for byte in range(*net.windows.span(t)) if any(a <= byte < b for a, b in regions)}
    worst = []
    for places in itertools.combinations(range(n + reach + 1), cuts):
        left = surviving(n, reach, places, touched)
        pooled = values[left].amax(0).relu() if left else torch.zeros(net.channels)
        worst.append(net.head(pooled[None])[0])
    return torch.stack(worst).amin(0)


# fmt: off
EXACT = [
    # window stride length regions                 why
    (6,      1,     40,    (),                     "every byte"),
    (6,      1,     40,    ((0, 3), (20, 24)),     "every byte, with regions"),
    (6,      1,     6,     (),                     "one window"),
    (6,      1,     7,     (),                     "two windows, one cut takes both"),
    (6,      1,     5,     (),                     "no window"),
    (6,      1,     40,    ((0, 40),),             "all overwritten"),
    (6,      1,     40,    ((3, 3), (90, 99)),     "regions without a byte of the file"),
    (8,      4,     90,    ((13, 17),),            "windows of two steps"),
    (7,      3,     90,    (),                     "a stride that divides nothing"),
    (4,      4,     50,    ((13, 14),),            "windows that no cut meets"),
    (2,      1,     30,    (),                     "the least that a cut can break"),
]
# fmt: on
every = pytest.mark.parametrize(("window", "stride", "length", "regions", "why"), EXACT, ids=[row[-1] for row in EXACT])


@every
@torch.no_grad()
def test_the_floor_of_no_or_one_insertion_is_that_of_the_worst_place(window, stride, length, regions, why):
    net = network(window, stride)
    for seed in range(3):
        x = file_of(length, seed)
        for cuts in (0, 1):
            found = byte_floor(net, x, Edits(cuts, overwrites=regions))
            assert torch.allclose(found.floor, by_trying(net, x, cuts, regions), atol=1e-6)
            assert found.joint
            assert bool((found.floor <= found.score).all())


@torch.no_grad()
def test_a_file_that_repeats_itself_loses_nothing():
    net, x = network(), file_of(30).repeat(3)
    found = byte_floor(net, x, Edits(insertions=1, anywhere=True))
    assert torch.equal(found.floor, found.score)


@pytest.mark.parametrize("cuts", [1, 2, 3])
@torch.no_grad()
def test_what_several_cuts_leave_of_one_channel_is_what_trying_all_leaves(cuts):
    for seed in range(6):
        net, x = network(4, 1, seed=seed), file_of(15, seed, 12)
        scan = Scan(x, net.windows, net.encoder, net.channels, torch.zeros(1))
        values, n = values_of(net, x), net.windows.count(len(x))
        worst = torch.full((net.channels,), torch.inf)
        for places in itertools.combinations_with_replacement(range(1, n + 3), cuts):
            left = surviving(n, 4, places)
            worst = torch.minimum(worst, values[left].amax(0).relu() if left else torch.zeros(net.channels))
        assert torch.allclose(scan.after_cuts(cuts).relu(), worst, atol=1e-6)


@torch.no_grad()
def test_the_floor_by_channel_is_not_above_that_of_the_worst_place():
    for seed in range(10):
        net, x = network(seed=seed), file_of(80, seed)
        scan = Scan(x, net.windows, net.encoder, net.channels, torch.zeros(1))
        by_channel = net.head(scan.after_cuts(1).relu()[None])[0]
        floors = [byte_floor(net, x, Edits(m, anywhere=True)).floor for m in range(5)]
        assert bool((by_channel <= floors[1] + 1e-6).all())
        for fewer, more in itertools.pairwise(floors):
            assert bool((more <= fewer + 1e-6).all())


def test_the_fewest_cuts_are_those_found_by_trying():
    made = torch.Generator().manual_seed(0)
    for _ in range(60):
        steps = sorted(set(torch.randint(0, 14, (5,), generator=made).tolist()))
        reach = int(torch.randint(2, 6, (), generator=made))
        fewest = next(
            m
            for m in range(1, 6)
            for places in itertools.combinations(range(1, 20), m)
            if not [t for t in steps if not any(t + 1 <= j <= t + reach - 1 for j in places)]
        )
        assert cuts_needed(steps, reach) == fewest


def attacked(x, edits, net, rng, *, carriers, winners):
    """One attack of this kind on a file: any places, often through winners; any content, often of other files."""

    def content(n):
        kind = int(torch.randint(0, 3, (), generator=rng))
        if kind == 0:
            return torch.randint(0, 256, (n,), generator=rng, dtype=torch.uint8)
        if kind == 1:
            return torch.full((n,), int(torch.randint(0, 256, (), generator=rng)), dtype=torch.uint8)
        one = carriers[int(torch.randint(0, len(carriers), (), generator=rng))]
        return one.repeat(-(-n // len(one)))[:n]

    y = x.clone()
    for start, stop in edits.overwrites:
        y[start:stop] = content(len(y[start:stop]))
    step, many = net.windows.stride, edits.insertions or 0
    places = torch.randint(0, len(y) // step + 1, (many,), generator=rng)
    if torch.rand((), generator=rng) < 0.5 and net.windows.reach > 1:
        through = winners[torch.randint(0, len(winners), (many,), generator=rng)]
        places = through + torch.randint(1, net.windows.reach, (many,), generator=rng)
    places = places.clamp(max=len(y) // step).mul(step).tolist()
    for at in sorted(places, reverse=True):
        size = int(torch.randint(0, 40 // step + 1, (), generator=rng)) * step
        y = torch.cat([y[:at], content(size), y[at:]])
    return torch.cat([y, content(int(torch.randint(0, 30, (), generator=rng)))])


# fmt: off
KINDS = {
    # what is done              network                     edits
    "append":                   ({"stride": 6}, Edits()),
    "aligned insertions":       ({"stride": 6}, Edits(3)),
    "aligned, windows overlap": ({"stride": 3}, Edits(1)),
    "aligned, several":         ({"stride": 2}, Edits(2)),
    "one insertion":            ({}, Edits(1, anywhere=True)),
    "two insertions":           ({}, Edits(2, anywhere=True)),
    "five insertions":          ({}, Edits(5, anywhere=True)),
    "regions":                  ({"stride": 6}, Edits(2, overwrites=((0, 7), (33, 41)))),
    "regions and insertion":    ({}, Edits(1, anywhere=True, overwrites=((0, 7), (33, 41)))),
    "gated, append":            ({"stride": 6, "context": 4}, Edits(2)),
    "gated, one insertion":     ({"context": 4}, Edits(1, anywhere=True)),
    "gated, three insertions":  ({"context": 4}, Edits(3, anywhere=True)),
    "gated, regions":           ({"stride": 6, "context": 4}, Edits(1, overwrites=((0, 7), (33, 41)))),
}
# fmt: on
FILES = 20


def trials(kind, count, seed=0, floor_of=lambda floor: floor.floor):
    """How many attacks end below the floor of their file, and the least distance between the two."""
    settings, edits = KINDS[kind]
    net, rng = network(**settings, seed=seed), torch.Generator().manual_seed(seed)
    carriers, below, distance = [file_of(60, 700 + s) for s in range(5)], 0, torch.inf
    for number in range(FILES):
        x = file_of(int(torch.randint(4, 90, (), generator=rng)), 1000 * seed + number)
        inside = tuple((a, min(b, len(x))) for a, b in edits.overwrites if a < len(x))
        allowed = Edits(edits.insertions, edits.anywhere, inside)
        floor = floor_of(byte_floor(net, x, allowed))
        winners = Scan(x, net.windows, net.encoder, net.channels, torch.zeros(1), inside).largest()[1]
        files = [attacked(x, allowed, net, rng, carriers=carriers, winners=winners) for _ in range(count // FILES)]
        found = net(files)
        below += int((found < floor).any(1).sum())
        distance = min(distance, float((found - floor).amin()))
    return below, distance


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_no_attack_ends_below_the_floor_not_by_a_bit(kind):
    below, distance = trials(kind, 100)
    assert below == 0, distance


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_ten_thousand_attacks_end_above_the_floor_not_by_a_bit(kind):
    for seed in range(1, 6):
        below, distance = trials(kind, 2_000, seed)
        assert below == 0, distance


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in {"append", "aligned insertions", "gated, append"}]
)
@torch.no_grad()
def test_the_same_attacks_pass_a_floor_that_is_the_score(kind):
    """Else they would show nothing."""
    assert trials(kind, 100, floor_of=lambda floor: floor.score)[0]


@torch.no_grad()
def test_with_a_longer_stride_an_insertion_anywhere_leaves_nothing():
    net, x = network(stride=6), file_of(60)
    found = byte_floor(net, x, Edits(1, anywhere=True))
    assert torch.equal(found.floor, net([b""])[0])
    assert torch.equal(byte_floor(network(), x, Edits(None, anywhere=True)).floor, network()([b""])[0])
    assert torch.equal(byte_floor(net, x, Edits(None)).floor, net([x])[0])


@torch.no_grad()
def test_memory_does_not_grow_with_the_file():
    class Counting:
        def __init__(self, x):
            self.x, self.most = x, 0

        def __len__(self):
            return len(self.x)

        def __getitem__(self, some):
            found = self.x[some]
            self.most = max(self.most, len(found))
            return found

    file = Counting(file_of(4_000))
    net = network(context=4)
    byte_floor(net, file, Edits(2, anywhere=True, overwrites=((50, 60),)))
    assert file.most < 200


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [1, 4])
@torch.no_grad()
def test_a_megabyte_at_every_byte(cuts, monkeypatch):
    monkeypatch.setattr(grid, "BLOCK_BYTES", 2**16)
    net, x = network(32, channels=16), file_of(2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = byte_floor(net, x, Edits(cuts, anywhere=True))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kilobytes; all values would be 64 MB
    rng, winners = torch.Generator().manual_seed(0), Scan(x, net.windows, net.encoder, 16, torch.zeros(1)).largest()[1]
    for _ in range(4):
        changed = attacked(x, Edits(cuts, anywhere=True), net, rng, carriers=[file_of(60)], winners=winners)
        assert bool((net([changed])[0] >= found.floor).all())


def test_words():
    found = ByteFloor(torch.tensor([-1.0, 0.5]), torch.tensor([0.25, 1.0]), Edits(2, overwrites=((0, 4),)), joint=False)
    said, floors = str(found).split(": ")
    assert said == (
        "after anything appended, anything inserted at 2 places at multiples of the stride, in multiples of it, "
        "4 bytes overwritten in 1 region"
    )
    assert floors == "-1 or more (now 0.25), 0.5 or more (now 1)"
    assert found.holds(0.4, label=1)
    assert not found.holds(float("nan"))


# fmt: off
BAD = [
    (lambda: Edits(-1),                                  "insertions=-1 came"),
    (lambda: Edits(1.5),                                 "insertions=1.5 came"),
    (lambda: Edits(overwrites=((5, 2),)),                "the range (5, 2) came"),
    (lambda: byte_floor(network().train(), b"x" * 9),    "network.eval()"),
    (lambda: byte_floor(network(), "path"),              "FileBytes(path)"),
]
# fmt: on


@pytest.mark.parametrize(("act", "said"), BAD, ids=[row[-1] for row in BAD])
def test_bad_input_is_refused(act, said):
    with pytest.raises(BadInput) as fault:
        act()
    assert said in str(fault.value)


def test_windows_of_regions():
    scan = Scan(bytes(60), Windows(6, 3), None, 1, torch.zeros(1), ((0, 1), (20, 25)))
    expected = [a < 1 or (a < 25 and a + 6 > 20) for a in range(0, 55, 3)]
    assert scan.touched(0, 19).tolist() == expected
    assert scan.touched(5, 9).tolist() == expected[5:9]
