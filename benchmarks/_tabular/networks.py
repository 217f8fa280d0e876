"""Networks as peers: one loop trains them all; epochs are found on the validation part and kept for the whole.

LMN is composed as its guarantee needs it: first layer "one-inf", later ones "inf", each with the root of the constant.
mononet has no free inputs: they enter through an embedder that is concatenated, as its authors do for partial
monotonicity. pytorch-lattice's own Classifier is binary and its RTL layer registers no parameters, so its calibrated
linear and lattice models are trained here, projected after every step as it asks for.
"""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from .parts import Fitted, Model, Part, Setting
from .scaling import Scaling

EPOCHS, PATIENCE = 300, 20


def loss_of(part: Part) -> Callable[[Tensor, Tensor], Tensor]:
    return nn.BCEWithLogitsLoss() if part.classes else nn.MSELoss()


def outputs(net: nn.Module, X: Tensor) -> Tensor:
    net.eval()
    with torch.no_grad():
        return torch.cat([net(rows).reshape(-1) for rows in X.split(4096)])


def trained(
    net: nn.Module, setting: Setting, part: Part, scale: Callable[[np.ndarray], np.ndarray], dtype: torch.dtype
) -> Fitted:
    """AdamW at a constant rate; keeps the weights of the best epoch where there is something to watch."""
    loss, batch = loss_of(part), min(setting["batch"], len(part.X))
    X, y = torch.as_tensor(scale(part.X), dtype=dtype), torch.as_tensor(part.y, dtype=dtype)
    watched = None
    if part.watch is not None:
        watched = [torch.as_tensor(scale(part.watch[0]), dtype=dtype), torch.as_tensor(part.watch[1], dtype=dtype)]
    optimizer = torch.optim.AdamW(net.parameters(), lr=setting["rate"], weight_decay=setting["decay"])
    after = getattr(net, "apply_constraints", lambda: None)
    best, best_epoch, kept = float("inf"), 1, None
    for epoch in range(1, (part.rounds or EPOCHS) + 1):
        net.train()
        for rows in torch.randperm(len(X)).split(batch):
            optimizer.zero_grad()
            loss(net(X[rows]).reshape(-1), y[rows]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            after()
            if part.late():
                break
        if watched is not None:
            value = float(loss(outputs(net, watched[0]), watched[1]))
            if value < best:
                best, best_epoch, kept = value, epoch, copy.deepcopy(net.state_dict())
            elif epoch - best_epoch >= PATIENCE:
                break
        if part.late():
            break
    if kept is not None:
        net.load_state_dict(kept)

    def predict(X: np.ndarray) -> np.ndarray:
        z = outputs(net, torch.as_tensor(scale(X), dtype=dtype)).double()
        return (z.sigmoid() if part.classes else z).numpy()

    return Fitted(predict, best_epoch if watched is not None else part.rounds)


def stack(*sizes: int, dropout: float = 0.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def mlp(setting: Setting, part: Part) -> Fitted:
    torch.manual_seed(part.seed)
    width = setting["width"]
    body = stack(part.X.shape[1], *[width] * setting["depth"], dropout=setting["dropout"])
    net = nn.Sequential(body, nn.Linear(width, 1))
    return trained(net, setting, part, Scaling(setting["inputs"], part.X), torch.float32)


def lmn(setting: Setting, part: Part) -> Fitted:
    import monotonicnetworks as mn

    torch.manual_seed(part.seed)
    whole, width, depth = setting["constant"], setting["width"], setting["depth"]
    sizes = [part.X.shape[1], *[width] * (depth - 1), 1]
    each = whole ** (1 / depth)
    layers: list[nn.Module] = []
    for number, (a, b) in enumerate(itertools.pairwise(sizes)):
        layers.append(mn.LipschitzLinear(a, b, kind="inf" if number else "one-inf", lipschitz_const=each))
        layers.append(mn.GroupSort(width // 2))
    net = mn.MonotonicWrapper(
        nn.Sequential(*layers[:-1]), lipschitz_const=whole, monotonic_constraints=part.ways.tolist()
    )
    return trained(net, setting, part, Scaling(setting["inputs"], part.X), torch.float32)


class PartlyMonotone(nn.Module):
    """mononet's layers on the constrained features, turned to rise, and on what an embedder makes of the free ones."""

    def __init__(self, ways: np.ndarray, setting: Setting) -> None:
        super().__init__()
        from mononet.torch import MonoLinear, MonoResidual

        self.bound, self.free = np.flatnonzero(ways).tolist(), np.flatnonzero(ways == 0).tolist()
        self.register_buffer("signs", torch.as_tensor(ways[self.bound], dtype=torch.float32))
        width, embedded = setting["width"], setting["width"] if self.free else 0
        self.embed = stack(len(self.free), width, embedded) if self.free else None
        how = {"mode": setting["mode"], "activation": setting["activation"]}
        layers = [MonoLinear(len(self.bound) + embedded, width, **how)]
        for _ in range(setting["depth"] - 1):
            layers.append((MonoResidual if setting["residual"] else MonoLinear)(width, width, **how))
        # The read-out is linear: a rectified one has logits of one sign only.
        self.monotone = nn.Sequential(*layers, MonoLinear(width, 1, mode=setting["mode"]))

    def forward(self, x: Tensor) -> Tensor:
        inputs = [x[:, self.bound] * self.signs]
        if self.embed is not None:
            inputs.append(self.embed(x[:, self.free]))
        return self.monotone(torch.cat(inputs, dim=1))


def mononet(setting: Setting, part: Part) -> Fitted:
    torch.manual_seed(part.seed)
    net = PartlyMonotone(part.ways, setting)
    return trained(net, setting, part, Scaling(setting["inputs"], part.X), torch.float32)


LATTICE_AT_MOST = 10  # features: a lattice has 2 to that power corners


def lattice(setting: Setting, part: Part) -> Fitted:
    from pytorch_lattice.enums import Monotonicity
    from pytorch_lattice.models import CalibratedLattice, CalibratedLinear
    from pytorch_lattice.models.features import NumericalFeature

    torch.manual_seed(part.seed)
    used = np.flatnonzero(np.ptp(part.X, axis=0) > 0)  # a calibrator needs two keypoints
    directions = {1: Monotonicity.INCREASING, -1: Monotonicity.DECREASING, 0: None}
    features = [
        NumericalFeature(f"f{i}", part.X[:, i], setting["keypoints"], monotonicity=directions[int(part.ways[i])])
        for i in used
    ]
    whole = setting["kind"] == "lattice" and len(used) <= LATTICE_AT_MOST
    net = CalibratedLattice(features) if whole else CalibratedLinear(features)
    return trained(net, setting, part, lambda X: X[:, used], torch.float64)


COMMON = {"inputs": ["standard", "normal"], "batch": [64, 128, 256], "decay": [0.0, 1e-4, 1e-2]}
START = {"inputs": "standard", "batch": 128, "decay": 1e-4}
MODELS = [
    Model(
        "mlp free",
        False,
        mlp,
        {**START, "rate": 1e-3, "width": 128, "depth": 2, "dropout": 0.1},
        {
            **COMMON,
            "rate": [5e-4, 1e-3, 3e-3],
            "width": [32, 64, 128, 256],
            "depth": [1, 2, 3],
            "dropout": [0.0, 0.1, 0.3],
        },
        ("torch",),
        fixed=[{"inputs": "normal", "width": 64}],
    ),
    Model(
        "lmn",
        True,
        lmn,
        {**START, "rate": 3e-3, "constant": 2.0, "width": 64, "depth": 3},
        {
            **COMMON,
            "rate": [1e-3, 3e-3, 1e-2],
            "constant": [0.5, 1.0, 2.0, 5.0, 10.0],
            "width": [16, 32, 64, 128],
            "depth": [2, 3, 4],
        },
        ("monotonicnetworks",),
        fixed=[{"constant": 1.0, "inputs": "normal"}],
    ),
    Model(
        "mononet",
        True,
        mononet,
        {
            **START,
            "rate": 1e-3,
            "mode": "absolute",
            "activation": "elu",
            "residual": False,
            "width": 32,
            "depth": 2,
        },
        {
            **COMMON,
            "rate": [1e-3, 3e-3, 1e-2],
            "mode": ["absolute", "switch"],
            "activation": ["relu", "elu"],
            "residual": [False, True],
            "width": [16, 32, 64],
            "depth": [2, 3, 4],
        },
        ("mononet",),
        fixed=[{"residual": True, "depth": 4}],
    ),
    Model(
        "pytorch-lattice",
        True,
        lattice,
        {"batch": 128, "decay": 0.0, "rate": 1e-2, "kind": "linear", "keypoints": 10},
        {
            "batch": [64, 128, 256],
            "decay": [0.0, 1e-4],
            "rate": [3e-3, 1e-2, 3e-2],
            "kind": ["linear", "lattice"],
            "keypoints": [5, 10, 20],
        },
        ("pytorch_lattice",),
        fixed=[{"kind": "lattice", "keypoints": 5}],
    ),
]
