"""Held in many processes: what is gathered equals what one process makes of the same training.

Weights, inputs and step sizes are small multiples of powers of two, and losses are linear, so gradients and plain steps
are exact whatever the order of summation: differences come from projections alone.
"""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import isotone
from isotone import Between, NonNegative, Sign, constrain
from isotone.constraints import (
    Constraint,
    Increasing,
    Intersection,
    L1Ball,
    Masked,
    MaxNorm,
    MinMaxNorm,
    Simplex,
    UnitNorm,
)
from isotone.errors import BadInput

from .processes import Check, run

INPUTS = 4
ROWS = (5, 2, 1)  # over two and three processes: uneven parts, and empty ones


class Side(nn.Module):
    """Layers side by side, the last of them as a block that is sharded by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(INPUTS, rows) for rows in ROWS[:2]])
        self.block = nn.Sequential(nn.Linear(INPUTS, ROWS[2]))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [layer(x) for layer in (*self.layers, self.block)]


def side() -> Side:
    torch.manual_seed(0)
    net = Side()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((p * 64).round() / 64)
    return net


def loss_of(net: nn.Module, step: int, share: float = 1.0) -> Tensor:
    """Linear in the weights, with another gradient at each step: small whole numbers."""
    numbers = torch.Generator().manual_seed(step)
    x = torch.randint(-3, 4, (3, INPUTS), generator=numbers).float()
    outs = net(x)
    pull = [torch.randint(-2, 4, out.shape, generator=numbers).float() for out in outs]
    return share * sum((a * b).sum() for a, b in zip(outs, pull, strict=True))


def train(net: nn.Module, optimizer: Any, steps: int = 4, between: Callable[[int], object] = lambda _: None) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(net, step).backward()
        between(step)
        optimizer.step()


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 1 / 32, momentum=0.5)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, 0.1, weight_decay=0.0)


def shard(net: Side, **settings: Any) -> Side:
    fully_shard(net.block, **settings)
    return fully_shard(net, **settings)


def gathered(net: nn.Module) -> dict[str, Tensor]:
    full = {}
    for name, tensor in net.state_dict().items():
        full[name.removeprefix("module.")] = (
            tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        ).clone()
    return full


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], within: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        if within == 0.0:
            assert torch.equal(tensor, theirs[name]), f"{name}: {tensor - theirs[name]}"
        else:
            torch.testing.assert_close(
                tensor, theirs[name], rtol=within, atol=within, msg=lambda m, n=name: f"{n}: {m}"
            )


def assert_replicas(net: nn.Module) -> None:
    """The same to the bit in every process."""
    mine = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    of_first = mine.clone()
    dist.broadcast(of_first, 0)
    assert torch.equal(mine, of_first)


def assert_inside(net: nn.Module) -> None:
    outside = {name: v for name, v in isotone.violations(net).items() if v != 0.0}  # NaN too
    assert not outside, outside


# FSDP2

LOW = torch.linspace(-0.5, 0.0, ROWS[0] * INPUTS).reshape(ROWS[0], INPUTS)
MASK = torch.tensor([True, False, True, False])

# fmt: off
SETS: dict[str, tuple[str, Constraint, float]] = {
    # why                                  pattern             set                                             tolerance
    "non-negative":                       ("*.weight",         NonNegative(),                                  0.0),
    "signs of columns":                   ("*.weight",         Sign((1, -1, 0, 1)),                            0.0),
    "signs of rows: the sharded dim":     ("layers.0.weight",  Sign((1, -1, 0, 1, -1), dim=0),                 0.0),
    "one bound for all":                  ("*",                Between(-0.2, 0.3),                             0.0),
    "a bound for each entry":             ("layers.0.weight",  Between(LOW, LOW + 0.5),                        0.0),
    "a bound for each row":               ("layers.0.weight",  Between(LOW[:, :1], math.inf),                  0.0),
    "a bound for each column":            ("*.weight",         Between(LOW[0], 0.25),                          0.0),
    "some entries":                       ("*.weight",         Masked(NonNegative(), MASK),                    0.0),
    "rows of bounded norm":               ("*.weight",         MaxNorm(0.5),                                   1e-6),
    "columns of bounded norm":            ("*.weight",         MaxNorm(0.5, dim=0),                            1e-6),
    "the whole of bounded norm":          ("*.weight",         MaxNorm(0.8, dim=None),                         1e-6),
    "a bias of bounded norm":             ("*.bias",           MaxNorm(0.2, dim=-1),                           1e-6),
    "rows of norm one":                   ("*.weight",         UnitNorm(),                                     1e-6),
    "columns of norm one":                ("*.weight",         UnitNorm(dim=0),                                1e-6),
    "columns between two norms":          ("*.weight",         MinMaxNorm(0.3, 0.6, dim=0),                    1e-6),
    "rows that are probabilities":        ("*.weight",         Simplex(),                                      1e-6),
    "columns that are probabilities":     ("*.weight",         Simplex(dim=0),                                 1e-6),
    "columns in an L1 ball":              ("*.weight",         L1Ball(0.7, dim=0),                             1e-6),
    "columns that increase":              ("*.weight",         Increasing(dim=0),                              1e-6),
    "rows that increase":                 ("*.weight",         Increasing(dim=-1),                             1e-6),
    "two sets, columns":                  ("*.weight",         Intersection(NonNegative(), MaxNorm(0.5, dim=0)), 1e-6),
}
# fmt: on
ELEMENTWISE = {why for why, (*_, tolerance) in SETS.items() if tolerance == 0.0}


def fsdp2(
    rank: int, world: int, *, why: str, make: Any, first: str, between: str = "", mesh: tuple[int, ...] = ()
) -> None:
    pattern, constraint, tolerance = SETS[why]
    alone, net = side(), side()
    constrain(alone, pattern, constraint)
    train(alone, make(alone.parameters()))
    names = ("replicas", "parts")[2 - len(mesh or (world,)) :]
    settings = {"mesh": init_device_mesh("cpu", mesh or (world,), mesh_dim_names=names)}
    if first == "constrain":
        constrain(net, pattern, constraint)
        shard(net, **settings)
    else:
        shard(net, **settings)
        constrain(net, pattern, constraint)
    assert_inside(net)

    def look(_: int) -> None:
        with torch.no_grad():
            net(torch.ones(1, INPUTS))  # shows gathered copies until the next backward

    train(net, make(net.parameters()), between=look if between == "look" else lambda _: None)
    if between != "look":
        assert_inside(net)
        if make is sgd:
            assert_same(gathered(net), gathered(alone), tolerance)
        else:  # Adam divides by roots of small numbers, and vector and scalar code round differently
            assert_same(gathered(net), gathered(alone), 2e-5)
    else:  # torch goes on with the stale copies of the root's own weights: the run differs, the hold must not
        assert_inside(net)
        assert any(
            not torch.equal(a, b) for a, b in zip(gathered(net).values(), gathered(side()).values(), strict=True)
        )


def fsdp2_with_looks_before_the_first_step(rank: int, world: int, why: str) -> None:
    pattern, constraint, tolerance = SETS[why]
    alone, net = side(), side()
    for each in (alone, net):
        constrain(each, pattern, constraint)
    shard(net)
    optimizers = sgd(alone.parameters()), sgd(net.parameters())
    for step in range(3):
        for each, optimizer in zip((alone, net), optimizers, strict=True):
            optimizer.zero_grad()
            loss_of(each, step).backward()
            with torch.no_grad():
                each(torch.ones(1, INPUTS))
            optimizer.step()
        net.reshard()  # what torch asks of those who change weights
        assert_same(gathered(net), gathered(alone), tolerance)
        assert_inside(net)


def fsdp2_state_dict(rank: int, world: int) -> None:
    net, other = side(), side()
    for each in (net, other):
        constrain(each, "*.weight", MaxNorm(0.5, dim=0))
        constrain(each, "*.bias", NonNegative())
        shard(each)
    optimizer = sgd(net.parameters())
    train(net, optimizer)
    kept = gathered(net)
    assert list(net.state_dict()) == list(side().state_dict())
    other.load_state_dict(copy.deepcopy(net.state_dict()))  # inside: nothing is said
    assert_same(gathered(other), kept, 0.0)
    train(other, sgd(other.parameters()))
    assert_inside(other)
    outside = {name: tensor * 0 - 1 for name, tensor in net.state_dict().items()}
    with pytest.warns(UserWarning, match="was outside .* and has been projected") as caught:
        net.load_state_dict(outside)
    assert len([w for w in caught if "has been projected" in str(w.message)]) == 6
    assert_inside(net)
    for name, tensor in gathered(net).items():
        kind = MaxNorm(0.5, dim=0) if name.endswith("weight") else NonNegative()
        torch.testing.assert_close(tensor, kind.project(torch.full_like(tensor, -1.0)))
    train(net, optimizer)
    assert_inside(net)


def fsdp2_is_converted_between_steps(rank: int, world: int) -> None:
    """torch swaps the tensors of shards, and refuses to where one of them is referred to weakly."""
    net = side()
    constrain(net, "*.weight", MaxNorm(0.5, dim=0))
    constrain(net, "*.bias", NonNegative())
    shard(net)
    train(net, sgd(net.parameters()))
    net.double()
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert_inside(net)
    with torch.device("meta"):
        empty = side()
    shard(empty)
    constrain(empty, "*.weight", NonNegative())
    empty.to_empty(device="cpu")
    with torch.no_grad():
        for p in empty.parameters():
            p.fill_(-1.0)
    isotone.project_(empty)
    assert_inside(empty)
    train(empty, sgd(empty.parameters()))
    assert_inside(empty)


def fsdp2_checkpoint_from_one_process(rank: int, world: int) -> None:
    from torch.distributed.checkpoint.state_dict import (  # noqa: PLC0415
        StateDictOptions,
        get_model_state_dict,
        set_model_state_dict,
    )

    net, other = side(), side()
    for each in (net, other):
        constrain(each, "*.weight", MaxNorm(0.5, dim=0))
        shard(each)
    train(net, sgd(net.parameters()))
    full = get_model_state_dict(net, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    assert bool(full) == (rank == 0)
    set_model_state_dict(other, full, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))
    assert_same(gathered(other), gathered(net), 0.0)
    train(other, sgd(other.parameters()))
    assert_inside(other)


def fsdp2_frozen_weights_are_never_touched(rank: int, world: int) -> None:
    net = side()
    constrain(net, "*.weight", NonNegative())
    constrain(net, "*.bias", MaxNorm(0.1, dim=-1))
    net.layers[0].requires_grad_(False)
    with torch.no_grad():
        for p in net.layers[0].parameters():
            p.fill_(-1)
    shard(net)
    train(net, sgd(net.parameters()))
    state = gathered(net)
    assert bool((state["layers.0.weight"] == -1).all())
    assert bool((state["layers.0.bias"] == -1).all())
    violations = isotone.violations(net)
    assert violations.pop("layers.0.weight") == 1.0
    assert violations.pop("layers.0.bias") > 0.9
    assert set(violations.values()) == {0.0}


def fsdp2_violations_are_the_same_everywhere(rank: int, world: int) -> None:
    net = side()
    constrain(net, "*.weight", NonNegative())
    constrain(net, "*.bias", MaxNorm(0.1, dim=-1))
    shard(net)
    with torch.no_grad():
        for p in net.parameters():
            p.to_local().fill_(-1.0 - rank)
    worst = min(ROWS[0], world)  # the last process that has a part of the largest weight
    violations = isotone.violations(net)
    assert violations["layers.0.weight"] == float(worst)
    theirs: list[Any] = [None] * world
    dist.all_gather_object(theirs, violations)
    assert all(v == violations for v in theirs)
    if rank == 0:
        with torch.no_grad():
            net.block[0].weight.to_local().fill_(math.nan)
    assert math.isnan(isotone.violations(net)["block.0.weight"]), "one process has it, all say so"
    isotone.project_(net)
    after = isotone.violations(net)
    assert math.isnan(after.pop("block.0.weight"))
    assert set(after.values()) == {0.0}


def fsdp2_letting_go_and_suspending(rank: int, world: int) -> None:
    net = shard(side())
    constrain(net, "*.weight", MaxNorm(0.1, dim=0))
    optimizer = sgd(net.parameters())
    train(net, optimizer, steps=1)
    with isotone.suspended(net):
        train(net, optimizer, steps=2)
        assert max(isotone.violations(net).values()) > 0
    assert_inside(net)
    with torch.no_grad():
        net(torch.ones(1, INPUTS))
    assert isotone.remove_constraint(net, "layers.*") == ("layers.0.weight", "layers.1.weight")
    train(net, optimizer, steps=2)
    assert isotone.constraints_of(net) == {"block.0.weight": MaxNorm(0.1, dim=0)}
    assert_inside(net)


def fsdp2_asked_after_a_forward_without_a_backward(rank: int, world: int) -> None:
    """What is registered then are gathered copies: declaring and projecting must reach the shards behind them."""
    for constraint in (NonNegative(), MaxNorm(0.1, dim=0)):
        net = shard(side())
        with torch.no_grad():
            net(torch.ones(1, INPUTS))
        constrain(net, "*.weight", constraint)
        for name, tensor in gathered(net).items():
            assert not name.endswith("weight") or float(constraint.violation(tensor)) == 0.0, "declared on a copy"
        for p in net.parameters():
            p.detach().to_local().fill_(-1)
        with torch.no_grad():
            net(torch.ones(1, INPUTS))
        isotone.project_(net)
        for name, tensor in gathered(net).items():
            assert not name.endswith("weight") or float(constraint.violation(tensor)) == 0.0, "projected a copy"


def fsdp2_declared_in_another_order_in_each_process(rank: int, world: int) -> None:
    """The order in which processes exchange parts must not depend on when, or at which address, a thing was made."""
    net, alone = side(), side()
    patterns = ["layers.0.weight", "layers.1.weight", "block.0.weight", "layers.0.bias"]
    keep = [bytearray(1000 * (rank + 1)) for _ in range(50 * rank)]  # other addresses
    for i in range(len(patterns)):
        constrain(net, patterns[(i + rank) % len(patterns)], MaxNorm(0.3, dim=0))
    for pattern in patterns:
        constrain(alone, pattern, MaxNorm(0.3, dim=0))
    shard(net)
    train(net, sgd(net.parameters()))
    train(alone, sgd(alone.parameters()))
    assert_same(gathered(net), gathered(alone), 1e-6)
    assert len(keep) == 50 * rank


def fsdp2_tied_weights(rank: int, world: int) -> None:
    nets = side(), side()
    for net in nets:
        net.layers.append(nn.Linear(INPUTS, ROWS[0]))
        with torch.no_grad():
            net.layers[2].bias.zero_()
        net.layers[2].weight = net.layers[0].weight
        constrain(net, "layers.[02].weight", MaxNorm(0.3, dim=0))
    alone, net = nets
    shard(net)
    assert net.layers[2].weight is net.layers[0].weight
    for each in nets:
        train(each, sgd(each.parameters()))
    assert_same(gathered(net), gathered(alone), 1e-6)
    assert_inside(net)


def fsdp2_in_mixed_precision(rank: int, world: int) -> None:
    net = side()
    constrain(net, "*.weight", MaxNorm(0.5, dim=0))
    constrain(net, "*.bias", Between(-0.1, 0.1))
    shard(net, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32))
    train(net, adam(net.parameters()))
    assert {tensor.dtype for tensor in gathered(net).values()} == {torch.float32}
    assert_inside(net)


def fsdp2_cut_along_the_inputs(rank: int, world: int) -> None:
    """Another dimension than the first: torch allows it for even parts."""
    for constraint in (MaxNorm(0.3), MaxNorm(0.3, dim=0), Sign((1, -1, 0, 1)), Simplex()):
        alone, net = side(), side()
        for each in (alone, net):
            constrain(each, "*.weight", constraint)
        shard(net, shard_placement_fn=lambda p: Shard(1) if p.ndim == 2 else Shard(0))
        for each in (alone, net):
            train(each, sgd(each.parameters()))
        assert_same(gathered(net), gathered(alone), 1e-6)
        assert_inside(net)


def tensor_parallel_and_fsdp2(rank: int, world: int) -> None:
    """Two cuts at once, also through the same dimension."""
    for constraint in (MaxNorm(0.3), MaxNorm(0.3, dim=0), Sign((1, -1, 0, 1)), Between(-0.1, 0.2), Simplex(dim=0)):
        torch.manual_seed(0)
        alone = nn.Sequential(nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, INPUTS))
        net = copy.deepcopy(alone)
        for each in (alone, net):
            constrain(each, "*.weight", constraint)
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
        parallelize_module(net, mesh["tensor"], {"0": ColwiseParallel(), "1": RowwiseParallel()})
        fully_shard(net, mesh=mesh["data"])
        for each in (alone, net):
            optimizer = sgd(each.parameters())
            for _ in range(3):
                optimizer.zero_grad()
                (each(torch.arange(8.0).reshape(2, INPUTS) / 4) * torch.tensor([1.0, -1.0, 0.5, 0.25])).sum().backward()
                optimizer.step()
        assert_same(gathered(net), gathered(alone), 1e-5)
        assert_inside(net)


# Whole copies in every process


def ddp(rank: int, world: int, first: str) -> None:
    """Each process has data of its own; all project the same weights."""
    alone, net = side(), side()
    constrain(alone, "*.weight", Intersection(NonNegative(), MaxNorm(0.5)))
    constrain(alone, "*.bias", Between(-0.1, 0.1))
    if first == "constrain":
        constrain(net, "*.weight", Intersection(NonNegative(), MaxNorm(0.5)))
        constrain(net, "*.bias", Between(-0.1, 0.1))
    wrapped = DistributedDataParallel(net)
    if first == "wrap":
        constrain(wrapped, "*.weight", Intersection(NonNegative(), MaxNorm(0.5)))
        constrain(wrapped, "*.bias", Between(-0.1, 0.1))
    optimizer, its = sgd(wrapped.parameters()), sgd(alone.parameters())
    for step in range(4):
        optimizer.zero_grad()
        loss_of(wrapped, world * step + rank).backward()
        optimizer.step()
        assert_replicas(net)
        assert_inside(wrapped)
        its.zero_grad()
        sum(loss_of(alone, world * step + r, 1 / world) for r in range(world)).backward()
        its.step()
    assert_same(gathered(wrapped), gathered(alone), 1e-5)


def zero_redundancy(rank: int, world: int, why: str) -> None:
    """The inner optimizer steps its own share; the outer one sends it round. Both are seen by the hook."""
    from torch.distributed.optim import ZeroRedundancyOptimizer  # noqa: PLC0415 (warns when it is imported)

    pattern, constraint, _ = SETS[why]
    alone, net = side(), side()
    for each in (alone, net):
        constrain(each, pattern, constraint)
    wrapped = DistributedDataParallel(net)
    train(alone, torch.optim.Adam(alone.parameters(), lr=0.1))
    train(wrapped, ZeroRedundancyOptimizer(wrapped.parameters(), torch.optim.Adam, lr=0.1))
    assert_replicas(net)
    assert_inside(net)
    assert_same(gathered(wrapped), gathered(alone), 2e-5)


def fsdp1_holds_single_entries(rank: int, world: int) -> None:
    alone, net = side(), side()
    for each in (alone, net):
        constrain(each, "*.weight", NonNegative())
        constrain(each, "*.bias", Between(-0.1, 0.1))
    wrapped = FullyShardedDataParallel(net, use_orig_params=True, device_id=torch.device("cpu"))
    train(alone, sgd(alone.parameters()))
    train(wrapped, sgd(wrapped.parameters()))
    with FullyShardedDataParallel.summon_full_params(wrapped):
        for name, p in alone.named_parameters():
            assert torch.equal(p, net.get_parameter(name)), name


def _fsdp1_refused(constraint: Constraint, said: str) -> None:
    before = side()
    constrain(before, "layers.0.weight", constraint)
    wrapped = FullyShardedDataParallel(before, use_orig_params=True, device_id=torch.device("cpu"))
    with pytest.raises(BadInput, match=said):
        train(wrapped, sgd(wrapped.parameters()), steps=1)
    after = FullyShardedDataParallel(side(), use_orig_params=True, device_id=torch.device("cpu"))
    with pytest.raises(BadInput, match=said):
        constrain(after, "*layers.0.weight", constraint)


def fsdp1_refuses_what_needs_a_shape(rank: int, world: int) -> None:
    for why in ("rows of bounded norm", "columns of bounded norm", "a bound for each entry", "signs of columns"):
        _fsdp1_refused(SETS[why][1], "FSDP1")


def fsdp1_flattened_to_one_is_said(rank: int, world: int) -> None:
    """Its default, use_orig_params=False, leaves no parameter to hold: not held in silence."""
    net = side()
    constrain(net, "layers.0.weight", NonNegative())
    wrapped = FullyShardedDataParallel(net, device_id=torch.device("cpu"))
    with pytest.raises(BadInput, match="use_orig_params"):
        train(wrapped, sgd(wrapped.parameters()), steps=1)


# The test of these tests


def a_process_that_fails(rank: int, world: int) -> None:
    if rank == 1:
        raise AssertionError("as it should")
    dist.all_reduce(torch.ones(1))  # waits for the one that has failed


def without_a_declaration_the_same_training_leaves_the_sets(rank: int, world: int) -> None:
    for make in (sgd, adam):
        net = shard(side())
        train(net, make(net.parameters()))
        for pattern, constraint, _ in SETS.values():
            constrained = constrain(net, pattern, constraint)
            assert max(isotone.violations(net).values()) == 0.0
            isotone.remove_constraint(net)
            assert constrained
        state = gathered(shard_trained(make))
        assert not bool((state["layers.0.weight"] >= 0).all())
        assert float(state["layers.0.weight"].norm(dim=0).max()) > 0.5


def shard_trained(make: Any) -> Side:
    net = shard(side())
    train(net, make(net.parameters()))
    return net


IN_SHORT = (
    "non-negative",
    "a bound for each entry",
    "rows of norm one",
    "columns of bounded norm",
    "columns that are probabilities",
)


def checks() -> Iterator[tuple[str, int, Check]]:
    """Those that run in `make test`: every set over three processes, where parts are uneven and empty."""
    part = functools.partial
    for why in SETS:
        yield f"fsdp2, held before: {why}", 3, part(fsdp2, why=why, make=sgd, first="constrain")
    for why in IN_SHORT:
        yield f"fsdp2, held after: {why}", 3, part(fsdp2, why=why, make=sgd, first="shard")
        yield f"fsdp2, held before: {why}", 2, part(fsdp2, why=why, make=sgd, first="constrain")
        if why not in ELEMENTWISE:
            yield f"fsdp2, adaptive: {why}", 3, part(fsdp2, why=why, make=adam, first="constrain")
    for why in ("a bound for each entry", "columns of bounded norm"):
        yield f"fsdp2, looks: {why}", 3, part(fsdp2, why=why, make=sgd, first="constrain", between="look")
        yield f"fsdp2, looks and reshards: {why}", 3, part(fsdp2_with_looks_before_the_first_step, why=why)
    for why in ("non-negative", "columns of norm one", "rows that are probabilities"):
        yield f"zero redundancy: {why}", 2, part(zero_redundancy, why=why)
    for world in (2, 3):
        yield "ddp", world, part(ddp, first="constrain")
    yield "ddp, held after", 2, part(ddp, first="wrap")
    for check in (
        fsdp2_state_dict,
        fsdp2_is_converted_between_steps,
        fsdp2_checkpoint_from_one_process,
        fsdp2_frozen_weights_are_never_touched,
        fsdp2_violations_are_the_same_everywhere,
        fsdp2_letting_go_and_suspending,
        fsdp2_asked_after_a_forward_without_a_backward,
        fsdp2_declared_in_another_order_in_each_process,
        fsdp2_tied_weights,
        fsdp2_in_mixed_precision,
        fsdp1_holds_single_entries,
        without_a_declaration_the_same_training_leaves_the_sets,
        a_process_that_fails,
    ):
        yield check.__name__, 3, check
    for check in (fsdp2_cut_along_the_inputs, fsdp1_refuses_what_needs_a_shape, fsdp1_flattened_to_one_is_said):
        yield check.__name__, 2, check


def long_checks() -> Iterator[tuple[str, int, Check]]:
    """The rest of the table, and meshes of two dimensions."""
    part = functools.partial
    for why in SETS:
        yield f"fsdp2, held after: {why}", 2, part(fsdp2, why=why, make=sgd, first="shard")
        for world in (2, 3):
            yield f"zero redundancy: {why}", world, part(zero_redundancy, why=why)
            if why not in ELEMENTWISE:
                yield f"fsdp2, adaptive: {why}", world, part(fsdp2, why=why, make=adam, first="shard")
        yield f"hybrid: {why}", 4, part(fsdp2, why=why, make=sgd, first="constrain", mesh=(2, 2))
    yield "tensor_parallel_and_fsdp2", 4, tensor_parallel_and_fsdp2


def _by_name(rows: Iterator[tuple[str, int, Check]]) -> dict[str, tuple[int, Check]]:
    return {f"{re.sub('[^a-z0-9]+', '_', name)}-{world}": (world, check) for name, world, check in rows}


CHECKS, LONG = _by_name(checks()), _by_name(long_checks())


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """All checks run in one start of the processes."""
    return run(CHECKS)


@pytest.fixture(scope="module")
def said_at_length() -> dict[str, str]:
    return run(LONG)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_at_length(name, said_at_length):
    assert not said_at_length[name], said_at_length[name]


@pytest.mark.parametrize("name", [name for name in CHECKS if "that_fails" not in name])
def test_in_processes(name, said):
    assert not said[name], said[name]


@pytest.mark.parametrize("name", [name for name in CHECKS if "that_fails" in name])
def test_a_failure_in_one_process_is_seen(name, said):
    assert "process 1" in said[name]
    assert "AssertionError: as it should" in said[name]
    assert "process 0" in said[name], "the one that waited for it must not wait for long"
