"""One network from one setting, trained for a fixed number of epochs.

Every way to force weights starts from the same weights and computes the same kind of function: what differs is how the
optimizer moves them.
"""

import math
import time

import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrize

import isotone
from isotone.constraints._elementwise import by_direction
from isotone.constraints._smooth import inverse_softplus
from isotone.nn import Saturating, initialize_

WIDTH, BATCH = 32, 128

# fmt: off
MAPS = {
    # way          raw -> weight                 weight -> raw
    "softplus":   (F.softplus,                   inverse_softplus),
    "exp":        (torch.exp,                    lambda w: w.clamp(min=1e-6).log()),
    "square":     (torch.square,                 torch.sqrt),
    "abs":        (torch.abs,                    lambda w: w),
}
# `rate` and `decay` are Adam's; each other optimizer takes its own multiple of them.
OPTIMIZERS = {
    #                 class               settings            rate   decay
    "SGD":           (torch.optim.SGD,    {},                 30.0,    1.0),
    "momentum":      (torch.optim.SGD,    {"momentum": 0.9},   3.0,    1.0),
    "Adam":          (torch.optim.Adam,   {"fused": True},     1.0,    1.0),
    "AdamW":         (torch.optim.AdamW,  {"fused": True},     1.0,  100.0),
}
# fmt: on


class Mapped(nn.Module):
    """A weight through a map that makes it positive, but for the columns that are free."""

    def __init__(self, way, free):
        super().__init__()
        self.way = way
        self.register_buffer("free", free)

    def forward(self, raw):
        return torch.where(self.free, raw, MAPS[self.way][0](torch.where(self.free, 0.0, raw)))

    def right_inverse(self, w):
        return torch.where(self.free, w, MAPS[self.way][1](torch.where(self.free, 1.0, w)))


class Switch(nn.Module):
    """relu(x) and -relu(-x), each with weights of its own: the activation switch (Sartor et al. 2025)."""

    def forward(self, x):
        return torch.cat([x.relu(), -(-x).relu()], dim=-1)


ACTIVATIONS = {
    "ReLU": lambda _: nn.ReLU(),
    "ELU": lambda _: nn.ELU(),
    "softplus": lambda _: nn.Softplus(),
    "tanh": lambda _: nn.Tanh(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "saturating in turn": lambda depth: Saturating(above=depth % 2 == 0),
    "switch": lambda _: Switch(),
}


def network(setting, directions, rows):
    """Centred on the rows; `setting["way"]` keeps its weights from being negative where the directions say so."""
    activation = ACTIVATIONS[setting["activation"]]
    twice = 1 + (setting["activation"] == "switch")
    first = nn.Linear(len(directions), WIDTH)
    parts = [first]
    for depth in range(setting["depth"]):
        last = depth == setting["depth"] - 1
        parts += [activation(depth), nn.Linear(twice * WIDTH, 1 if last else WIDTH)]
    model = nn.Sequential(*parts)
    isotone.constrain(first, "weight", by_direction(directions))
    isotone.constrain(model, [f"{2 * i + 2}.weight" for i in range(setting["depth"])], isotone.NonNegative())
    initialize_(model, rows, spread=1.0)
    if setting["way"] != "projection":
        isotone.remove_constraint(model)
        free = torch.tensor(directions)[None] == 0
        for layer in model:
            if isinstance(layer, nn.Linear):
                none = torch.zeros(1, 1, dtype=torch.bool)
                held = Mapped(setting["way"], free if layer is first else none)
                parametrize.register_parametrization(layer, "weight", held)
    return model


def plain(model):
    """The same with its weights as they are, for a proof."""
    for layer in model:
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight")
    return model


def losses(kind, labels):
    weight = (len(labels) - labels.sum()) / labels.sum()

    def focal(logits, y):  # Lin et al. 2017, gamma 2, alpha 1/2
        cross = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        return ((1 - torch.exp(-cross)) ** 2 * cross).mean()

    return {
        "BCE": F.binary_cross_entropy_with_logits,
        "BCE, pos_weight": lambda logits, y: F.binary_cross_entropy_with_logits(logits, y, pos_weight=weight),
        "focal": focal,
        "squared": lambda logits, y: F.mse_loss(logits.sigmoid(), y),
    }[kind]


def fit(setting, found, seed, epochs):
    """A trained network; the rate falls in a line to 0."""
    torch.manual_seed(seed)
    x, y = found.train.inputs[setting["inputs"]], found.train.labels
    model = network(setting, found.directions[setting["inputs"]], x[torch.randperm(len(x))[:256]])
    make, kept, rate, decay = OPTIMIZERS[setting["optimizer"]]
    amount = setting["amount"] * decay if setting["decay"] == "on" else 0.0
    vectors = [p for p in model.parameters() if p.ndim == 1]
    matrices = [p for p in model.parameters() if p.ndim > 1]
    groups = [{"params": matrices, "weight_decay": amount}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = make(groups, lr=setting["rate"] * rate, **kept)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
    loss_of = losses(setting["loss"], y)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for at in order[: len(x) // BATCH * BATCH].view(-1, BATCH):
            optimizer.zero_grad()
            loss_of(model(x[at]).squeeze(1), y[at]).backward()
            optimizer.step()
            schedule.step()
    return model


@torch.no_grad()
def judged(model, side, inputs):
    """AUC and spread of the scores; a network whose scores are no numbers tells nothing apart."""
    logits = model(side.inputs[inputs]).squeeze(1)
    if not bool(logits.isfinite().all()):
        return 0.5, 0.0
    return float(roc_auc_score(side.labels.numpy(), logits.double().numpy())), float(logits.std())


def collapsed(auc, spread):
    return not (auc >= 0.55 and spread >= 1e-3)


def outcome(setting, found, seed, epochs, sides=("validation",)):
    """One fit and its figures on the sides that are asked for."""
    began = time.perf_counter()
    model = fit(setting, found, seed, epochs)
    took = time.perf_counter() - began
    values = {side: judged(model, getattr(found, side), setting["inputs"]) for side in sides}
    auc, spread = values["validation"]
    said = {side: round(value[0], 5) for side, value in values.items()}
    return model, {**said, "collapsed": collapsed(auc, spread), "seconds": round(took, 3)}


def lowest(model, directions):
    """The lowest weight that must not be negative."""
    first = next(layer for layer in model if isinstance(layer, nn.Linear))
    held = [layer.weight.detach() for layer in model if isinstance(layer, nn.Linear)]
    held[0] = first.weight.detach()[:, torch.tensor(directions) != 0]
    return min((float(w.min()) for w in held if w.numel()), default=math.inf)
