"""Held under what others build on top of torch: trainers, wrappers of optimizers, steps inside the backward pass."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

import isotone
from isotone import Between, NonNegative, constrain

from .optimizers import SAM, Lookahead, LookaheadAround, ScheduleFreeSGD
from .worlds import X, enforced, lowest, model, push


def trainers_talk(test):
    """Trainers give warnings of their own (workers, devices, deprecations) that are not about us."""
    return pytest.mark.filterwarnings("ignore::Warning")(test)


def downwards(net: nn.Module) -> Tensor:
    """A loss that pulls every parameter to -1.5."""
    return sum((p + 1.5).square().sum() for p in net.parameters())


# Trainers


@pytest.fixture
def accelerator_of():
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    yield lambda **settings: accelerate.Accelerator(cpu=True, **settings)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


@trainers_talk
@pytest.mark.parametrize("before", [True, False], ids=["held before prepare", "held after prepare"])
def test_accelerate_with_accumulation_and_clipping(accelerator_of, before):
    accelerator = accelerator_of(gradient_accumulation_steps=2)
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    if before:
        constrain(net, "*.weight", NonNegative())
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X), batch_size=1)
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    net, optimizer, data = accelerator.prepare(net, optimizer, data)
    if not before:
        constrain(net, "*.weight", NonNegative())
    steps = 0
    for (_,) in data:
        weights = [p.detach().clone() for p in net.parameters()]
        with accelerator.accumulate(net):
            accelerator.backward(downwards(net))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(net.parameters(), 20.0)
            optimizer.step()
            optimizer.zero_grad()
        moved = any(not torch.equal(p, w) for p, w in zip(net.parameters(), weights, strict=True))
        assert moved == accelerator.sync_gradients
        steps += moved
        assert lowest(net) >= 0
    assert steps == 2
    assert lowest(net, "bias") < 0


def lightning_module(net: nn.Module, make):
    import lightning  # noqa: PLC0415 (seconds)

    class Training(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net
            self.seen: list[float] = []

        def training_step(self, batch, _index):
            self.seen.append(lowest(self.net))
            return downwards(self.net) + 0 * self.net(batch[0]).sum()

        def configure_optimizers(self):
            return make(self.net.parameters())

    return Training()


def fit(training, tmp_path, **settings):
    import lightning  # noqa: PLC0415

    trainer = lightning.Trainer(
        max_epochs=settings.pop("max_epochs", 2),
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **settings,
    )
    trainer.fit(training, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X), batch_size=2))
    return trainer


# fmt: off
FITS = [
    # settings of the trainer                                       why
    ({},                                                            "plain"),
    ({"gradient_clip_val": 5.0},                                    "gradients clipped by norm"),
    ({"gradient_clip_val": 2.0, "gradient_clip_algorithm": "value"}, "gradients clipped by value"),
    ({"accumulate_grad_batches": 2, "max_epochs": 4},               "accumulation"),
    ({"precision": "bf16-mixed"},                                   "mixed precision"),
]
# fmt: on


@trainers_talk
@pytest.mark.parametrize(("settings", "why"), FITS, ids=[why for _, why in FITS])
def test_lightning(settings, why, tmp_path):
    pytest.importorskip("lightning")
    net = model()
    training = lightning_module(net, lambda p: torch.optim.SGD(p, 0.4, momentum=0.5))
    fit(training, tmp_path, **settings)
    assert min(training.seen) >= 0
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


@trainers_talk
def test_an_average_that_lightning_makes_is_inside(tmp_path):
    pytest.importorskip("lightning")
    from lightning.pytorch.callbacks import StochasticWeightAveraging  # noqa: PLC0415

    net = model()
    training = lightning_module(net, lambda p: torch.optim.SGD(p, 0.05))
    averaging = StochasticWeightAveraging(swa_lrs=0.3, swa_epoch_start=1, annealing_epochs=1)
    fit(training, tmp_path, callbacks=[averaging], max_epochs=4)
    assert torch.equal(net[0].weight, averaging._average_model.net[0].weight), "the average is what fit leaves"
    assert lowest(net) >= 0
    assert lowest(net, "bias") < 0
    assert enforced(net)


@trainers_talk
def test_an_exponential_average_that_lightning_makes_is_inside(tmp_path):
    pytest.importorskip("lightning")
    from lightning.pytorch.callbacks import EMAWeightAveraging  # noqa: PLC0415

    net = model()
    training = lightning_module(net, lambda p: torch.optim.SGD(p, 0.4))
    fit(training, tmp_path, callbacks=[EMAWeightAveraging(decay=0.5)], max_epochs=4)
    assert lowest(net) >= 0
    assert lowest(net, "bias") < 0


@trainers_talk
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_fabric(precision):
    fabric = pytest.importorskip("lightning_fabric").Fabric(accelerator="cpu", devices=1, precision=precision)
    with fabric.init_module():
        net = model()
    wrapped, optimizer = fabric.setup(net, torch.optim.AdamW(net.parameters(), 0.4))
    for _ in range(3):
        optimizer.zero_grad()
        fabric.backward(wrapped(X).sum() + downwards(net))
        fabric.clip_gradients(wrapped, optimizer, max_norm=5.0)
        optimizer.step()
        assert lowest(net) >= 0
    assert lowest(net, "bias") < 0
    assert set(isotone.violations(wrapped).values()) == {0.0}


# Steps that are skipped, copied, or taken inside the backward pass


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad])
def test_a_fused_step_that_a_gradient_scaler_skips_changes_nothing(make):
    net = model()
    optimizer = make(net.parameters(), lr=0.4, fused=True)  # step() is called, and skips inside
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    before = copy.deepcopy(net.state_dict())
    scaler.scale((net(X) * torch.inf).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 1.0, "it was skipped"
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(downwards(net)).backward()
        scaler.step(optimizer)
        scaler.update()
        assert lowest(net) >= 0
    assert lowest(net, "bias") < 0


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, when this is imported
def test_an_optimizer_that_steps_inside_backward():
    from torch.distributed.optim import _apply_optimizer_in_backward  # noqa: PLC0415

    net = model()
    _apply_optimizer_in_backward(torch.optim.SGD, net.parameters(), {"lr": 0.4})
    for _ in range(3):
        downwards(net).backward()
        assert lowest(net) >= 0
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


def test_optimizers_that_step_in_hooks_of_accumulated_gradients():
    """The recipe of torch's tutorial "How to save memory by fusing the optimizer step into the backward pass"."""
    net = model()
    optimizers = {p: torch.optim.Adam([p], lr=0.5, foreach=False) for p in net.parameters()}

    def step(parameter: Tensor) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for p in net.parameters():
        p.register_post_accumulate_grad_hook(step)
    for _ in range(4):
        downwards(net).backward()
        assert lowest(net) >= 0
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


def through_a_file(both: tuple) -> tuple:
    file = io.BytesIO()
    torch.save(both, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


# An optimizer's own hooks are lost when it is copied (constraints.md 10): ours is not its own.
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both)), through_a_file],
    ids=["deep", "pickle", "file"],
)
def test_a_model_copied_together_with_its_optimizer(copied):
    net = model()
    optimizer = torch.optim.Adam(net.parameters(), 0.5)
    push(net, optimizer, steps=1)
    before = copy.deepcopy(net.state_dict())
    twin, its_optimizer = copied((net, optimizer))
    assert len(its_optimizer.state) == 4
    push(twin, its_optimizer)
    assert lowest(twin) == 0
    assert lowest(twin, "bias") < lowest(net, "bias")
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


# Averages, stacks, functions


@pytest.mark.parametrize("average", [get_ema_multi_avg_fn(0.5), get_swa_multi_avg_fn()], ids=["exponential", "equal"])
def test_an_average_of_several_tensors_at_once_is_inside(average):
    net = model()
    optimizer, averaged = torch.optim.Adam(net.parameters(), 0.5), AveragedModel(net, multi_avg_fn=average)
    for _ in range(6):
        push(net, optimizer, steps=1)
        averaged.update_parameters(net)
        assert lowest(averaged) >= 0
    assert set(isotone.violations(averaged).values()) == {0.0}
    assert lowest(averaged, "bias") < 0


def test_a_stack_of_models_is_projected_by_what_constraints_of_says():
    """`stack_module_state` makes tensors that belong to no module: they are the caller's to project."""
    nets = [model(seed) for seed in range(3)]
    before = [copy.deepcopy(net.state_dict()) for net in nets]
    stacked, _ = torch.func.stack_module_state(nets)
    optimizer = torch.optim.SGD(stacked.values(), 0.4)

    def forward(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(nets[0], (parameters,), (x,))

    loss = torch.vmap(forward, (0, None))(stacked, X + 1).sum() + sum(9 * p.sum() for p in stacked.values())
    loss.backward()
    optimizer.step()
    assert float(stacked["0.weight"].detach().min()) < 0
    with torch.no_grad():
        for name, constraint in isotone.constraints_of(nets[0]).items():
            stacked[name].copy_(constraint.project(stacked[name]))
    for name in isotone.constraints_of(nets[0]):
        assert float(stacked[name].detach().min()) >= 0
    for net, state in zip(nets, before, strict=True):
        assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())


def test_gradients_of_a_functional_call_reach_held_weights():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    for _ in range(3):
        gradients = torch.func.grad(
            lambda p: torch.func.functional_call(net, p, (X + 2,)).sum() + sum(t.sum() for t in p.values())
        )({name: p.detach() for name, p in net.named_parameters()})
        for name, p in net.named_parameters():
            p.grad = gradients[name]
        optimizer.step()
        assert lowest(net) >= 0
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


# Weights in other places and forms


def test_a_model_made_on_meta_and_filled_in_place():
    with torch.device("meta"):
        net = model()
    net.to_empty(device="cpu")
    for layer in net:
        layer.reset_parameters()
    isotone.project_(net)
    assert set(isotone.violations(net).values()) == {0.0}
    assert enforced(net)


def test_an_optimizer_with_state_follows_its_model_into_another_type():
    net = model()
    optimizer = torch.optim.Adam(net.parameters(), 0.5)
    push(net, optimizer, steps=1)
    net.to(torch.float64)
    state = optimizer.state_dict()
    optimizer = torch.optim.Adam(net.parameters(), 0.5)
    optimizer.load_state_dict(state)
    push(net, optimizer)
    assert net[0].weight.dtype == torch.float64
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


@pytest.mark.parametrize("constraint", [NonNegative(), Between(-0.1, 0.05)], ids=repr)
def test_channels_last_weights_keep_their_layout_and_get_the_same_values(constraint):
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3)
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    for net in (plain, last):
        constrain(net, "weight", constraint)
        push(net, torch.optim.SGD(net.parameters(), 0.02))
    assert last.weight.is_contiguous(memory_format=torch.channels_last)
    assert not last.weight.is_contiguous()
    assert torch.equal(plain.weight, last.weight)
    assert set(isotone.violations(last).values()) == {0.0}


# fmt: off
SPARSE = [
    # make                    settings                  why
    (torch.optim.SGD,         {"lr": 9.0},              "sparse gradients of plain SGD"),
    (torch.optim.Adagrad,     {"lr": 9.0},              "sparse gradients of Adagrad"),
    (torch.optim.SparseAdam,  {"lr": 9.0},              "lazy Adam"),
]
# fmt: on


@pytest.mark.parametrize(("make", "settings", "why"), SPARSE, ids=[why for *_, why in SPARSE])
@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's Adagrad makes sparse tensors itself
def test_sparse_gradients(make, settings, why, kind):
    torch.manual_seed(0)
    net = kind(5, 2, sparse=True)
    constrain(net, "weight", Between(-0.25, 0.25))
    before = net.weight.detach().clone()
    optimizer = make(net.parameters(), **settings)
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.tensor([[1, 3], [3, 3]])).sum().backward()
        assert net.weight.grad.is_sparse
        optimizer.step()
    assert bool((net.weight[[1, 3]] == -0.25).all())
    assert torch.equal(net.weight[[0, 2, 4]], before[[0, 2, 4]])


def test_a_pruned_weight_is_held_through_what_has_taken_its_place():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    prune.random_unstructured(net[0], "weight", amount=3)
    constrain(net, "0.weight_orig", NonNegative())
    for _ in range(2):
        push(net, torch.optim.SGD(net.parameters(), 0.4), steps=1)
        net(X)  # makes `weight` anew from `weight_orig` and the mask
        assert float(net[0].weight.detach().min()) >= 0
    assert lowest(net, "bias") < 0
    assert isotone.violations(net) == {"0.weight_orig": 0.0}
    isotone.remove_constraint(net)
    prune.remove(net[0], "weight")
    constrain(net, "*.weight", NonNegative())
    assert enforced(net)


@pytest.mark.slow  # half a minute of compiling
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_whole_compiled_training_step_that_projects_by_hand():
    torch._dynamo.reset()
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4)

    @torch.compile(backend="eager")
    def train(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = net(x).sum() + sum((p + 1.5).square().sum() for p in net.parameters())
        loss.backward()
        optimizer.step()
        isotone.project_(net)
        return loss

    for _ in range(3):
        train(X)
        assert lowest(net) >= 0
    assert lowest(net, "bias") < 0
    torch._dynamo.reset()


# Optimizers that wrap optimizers, or move weights outside of step(): small ones of their kinds in optimizers.py


# fmt: off
WRAPPERS = [
    # make                                                               why
    (lambda p: Lookahead(torch.optim.SGD(p, 0.4), k=2, alpha=0.5),       "Lookahead that is an Optimizer"),
    (lambda p: LookaheadAround(torch.optim.SGD(p, 0.4), k=2, alpha=0.5), "Lookahead around one: a mean of members"),
    (lambda p: Lookahead(torch.optim.Adam(p, 0.5), k=3, alpha=0.8),      "Lookahead on Adam"),
    (lambda p: SAM(p, torch.optim.SGD, rho=0.5, lr=0.4),                 "SAM: an uphill step and back"),
    (lambda p: SAM(p, torch.optim.Adam, rho=0.5, lr=0.5),                "SAM on Adam"),
]
# fmt: on


@pytest.mark.parametrize(("make", "why"), WRAPPERS, ids=[why for _, why in WRAPPERS])
def test_an_optimizer_around_an_optimizer_ends_its_step_inside(make, why):
    net = model()
    optimizer = make(net.parameters())
    for _ in range(6):
        push(net, optimizer, steps=1)
        assert lowest(net) >= 0
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


def test_sam_evaluates_outside_and_comes_back():
    """Its first step goes to the worst neighbour, which may lie outside: as the method says, and for one gradient."""
    net = model()
    optimizer = SAM(net.parameters(), torch.optim.SGD, rho=5.0, lr=0.4)
    seen = []

    def closure() -> Tensor:
        seen.append(lowest(net))
        optimizer.zero_grad()
        loss = sum((1 - p).square().sum() for p in net.parameters())
        loss.backward()
        return loss

    optimizer.step(closure)
    assert seen[0] >= 0 > seen[1]
    assert lowest(net) >= 0


def test_schedule_free_weights_are_inside_after_every_step_and_it_is_said_that_eval_moves_them():
    """Its hidden third sequence runs away beyond the wall; eval() sets the weights to a point on the other side."""
    net = nn.Linear(3, 2)
    constrain(net, "weight", Between(-0.125, 0.125))
    optimizer = ScheduleFreeSGD(net.parameters(), lr=0.4)

    def train() -> None:
        for _ in range(5):
            push(net, optimizer, steps=1)
            assert bool((net.weight.abs() <= 0.125).all())

    with pytest.warns(UserWarning, match=r"ScheduleFreeSGD .*eval\(\).*project_") as caught:
        train()
    assert len(caught) == 1
    assert bool((net.weight == -0.125).all())
    optimizer.eval()
    assert bool((net.weight > 0.125).all())
    isotone.project_(net)
    assert isotone.violations(net) == {"weight": 0.0}
