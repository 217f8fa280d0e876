"""What stands beside isotone: free models, monotone ones, a simple pattern rule. Each tries as many settings."""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

import isotone
from isotone.boosters import BoosterFamily
from isotone.evaluation import partial_auc
from isotone.families import NetworkFamily
from isotone.training import SELECTION_RATE, Recipe

from .scorers import Family, Fitted, Function, Torch, XGBoost
from .sides import Problem, Side

Setting = Mapping[str, Any]
Known = Mapping[tuple[str, int, str], Mapping[str, Any]]
STOPS = (50, 100, 150, 200, 250, 300)


@dataclass(frozen=True)
class Model:
    """A row of the table of models.

    Args:
        name: in tables.
        kind: "free"; "peer", monotone; "ours", monotone and isotone's; "guarded".
        fit: a setting, a problem, a seed and the records that are there to a fitted model; it sees train and validation
            rows only.
        settings: what is tried, the default first; a short form tries the first ones.
        said: one line for the page.
        stops: what validation rows choose: "rounds", of which a setting may say how many, "epochs", or nothing.
    """

    name: str
    kind: str
    fit: Callable[[Setting, Problem, int, Known], Fitted]
    settings: tuple[Setting, ...]
    said: str
    stops: str = ""


def lightgbm(*, monotone: bool, contained: bool = True) -> Callable[[Setting, Problem, int, Known], Fitted]:
    def fit(setting: Setting, problem: Problem, seed: int, known: Known) -> Fitted:
        if not contained:
            problem = replace(problem, train=without_contained(problem))
        setting = dict(setting)
        family = BoosterFamily(monotone, threads=1, stops=setting.pop("rounds", STOPS))
        return Family(family.fit(problem.material, setting, seed), problem)

    return fit


def without_contained(problem: Problem) -> Side:
    """Training rows without the bad ones all of whose features some benign training row has too."""
    train = problem.train
    if not problem.presence:
        return train
    benign = train.benign.X.T.tocsc()
    sizes = np.diff(train.X.indptr)
    kept = train.y == 0
    for start in range(0, len(train), 256):
        part = slice(start, start + 256)
        most = np.asarray((train.X[part] @ benign).max(axis=1).todense()).ravel()
        kept[part] |= most < sizes[part]
    return train.take(np.flatnonzero(kept))


def xgboost(setting: Setting, problem: Problem, seed: int, known: Known) -> Fitted:
    """300 rounds; the best number of them by partial AUC on validation rows, as for LightGBM."""
    import xgboost as xgb

    setting = dict(setting)
    stops = setting.pop("rounds", STOPS)
    chosen = {
        "objective": "binary:logistic",
        "eta": 0.05,
        "colsample_bytree": 0.5,
        "max_depth": 6,
        "min_child_weight": 1,
        **setting,
        "monotone_constraints": tuple(int(way) for way in problem.ways),
        "nthread": 1,
        "seed": seed,
        "tree_method": "hist",
    }
    rows = xgb.DMatrix(problem.train.X.toarray(), problem.train.y)
    booster = xgb.train(chosen, rows, num_boost_round=stops[-1])
    value = {}
    for stop in stops:
        found = XGBoost(booster, stop).scores(problem.validation.X)
        value[stop] = partial_auc(found, problem.validation.y, SELECTION_RATE)
    return XGBoost(booster, max(value, key=value.__getitem__))


def network(*, monotone: bool) -> Callable[[Setting, Problem, int, Known], Fitted]:
    def fit(setting: Setting, problem: Problem, seed: int, known: Known) -> Fitted:
        family = NetworkFamily(monotone, Recipe(accelerator="cpu"))
        return Family(family.fit(problem.material, setting, seed), problem)

    return fit


def logistic(setting: Setting, problem: Problem, seed: int, known: Known) -> Fitted:
    """L2 logistic regression by L-BFGS-B with bounds; columns are scaled by a power of their spread."""
    from scipy.optimize import minimize

    X, signs = problem.train.X, np.where(problem.train.y == 1, 1.0, -1.0)
    variance = np.asarray(X.multiply(X).mean(axis=0)).ravel() - np.asarray(X.mean(axis=0)).ravel() ** 2
    spread = np.sqrt(np.maximum(variance, 0.0))  # of a constant column it may round below 0
    scale = 1 / np.maximum(spread, 1e-3) ** setting["scale"]
    X = sp.csr_matrix(X.multiply(scale[None, :]), dtype=np.float64)
    rows = np.where(signs > 0, setting.get("weight", 1.0), 1.0)
    rows = rows / rows.sum()

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = X @ w[:-1] + w[-1]
        slope = -signs * rows / (1 + np.exp(np.clip(signs * z, -500, 500)))
        value = float(rows @ np.logaddexp(0, -signs * z)) + 0.5 * setting["l2"] * float(w[:-1] @ w[:-1])
        return value, np.append(X.T @ slope + setting["l2"] * w[:-1], slope.sum())

    bounds = [(0, None) if way > 0 else (None, None) for way in problem.ways] + [(None, None)]
    w = minimize(loss, np.zeros(X.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 500}).x
    layer = nn.Linear(X.shape[1], 1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w[:-1] * scale)[None])
        layer.bias.fill_(w[-1])
    return Torch(nn.Sequential(layer, nn.Flatten(0)).eval())


def tanh(setting: Setting, problem: Problem, seed: int, known: Known) -> Fitted:
    """Non-negative weights and tanh, after Fleshman et al. 2018 (arXiv 1806.06108); columns that are free stay free.

    The best epoch by partial AUC on validation rows.
    """
    torch.manual_seed(seed)
    width, X, y = setting["width"], problem.train.X, torch.from_numpy(problem.train.y).float()
    layers: list[nn.Module] = []
    for size in (*[width] * setting.get("layers", 1), 1):
        layers += [nn.Linear(layers[-2].out_features if layers else X.shape[1], size), nn.Tanh()]
    net = nn.Sequential(*layers[:-1], nn.Flatten(0))
    with torch.no_grad():
        for layer in layers[::2]:
            layer.weight.abs_()
            if layer is not layers[0]:
                layer.weight.div_(layer.in_features**0.5)
        mean = torch.from_numpy(np.asarray(X.mean(axis=0)).ravel()).float()
        layers[0].bias.copy_(-layers[0].weight @ mean)  # in the middle of tanh, not at its end
    for number in range(0, len(layers), 2):
        ways = torch.from_numpy(problem.ways > 0) if number == 0 else torch.tensor(True)
        isotone.constrain(net, f"{number}.weight", isotone.Masked(isotone.NonNegative(), ways.numpy()))
    optimizer = torch.optim.Adam(net.parameters(), lr=setting["rate"], weight_decay=setting.get("decay", 0.0))
    loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(setting.get("weight", 1.0)))
    best, state, waited, order = -1.0, net.state_dict(), 0, np.random.default_rng(seed)
    for _ in range(60):
        net.train()
        for at in np.array_split(order.permutation(len(y)), max(1, len(y) // 128)):
            loss = loss_of(net(torch.from_numpy(X[at].toarray())), y[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found = partial_auc(Torch(net.eval()).scores(problem.validation.X), problem.validation.y, SELECTION_RATE)
        waited += 1
        if found > best:
            best, waited, state = found, 0, {name: value.clone() for name, value in net.state_dict().items()}
        if waited > 8:
            break
    net.load_state_dict(state)
    return Torch(net.eval())


class Patterns(nn.Module):
    """The largest weighted overlap with a known bad row, each beyond what benign rows reach with it."""

    def __init__(self, rows: torch.Tensor, beyond: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows.T.contiguous())
        self.register_buffer("beyond", beyond)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.rows - self.beyond).amax(1)


def pattern(setting: Setting, problem: Problem, seed: int, known: Known) -> Fitted:
    """The pilot's rule. Numbers become bits: 16 quantiles of each column that increases; free ones are not used."""
    bits = (lambda X: X) if problem.presence else thermometer(problem.train.X.toarray(), np.flatnonzero(problem.ways))
    bad, benign = (sp.csr_matrix(bits(side.X)) for side in (problem.train.bad, problem.train.benign))
    share = np.asarray(benign.mean(axis=0)).ravel()
    if setting["weights"] == "one":
        weights = np.ones(len(share))
    elif setting["weights"] == "rare":
        weights = -np.log((share * benign.shape[0] + 1) / (benign.shape[0] + 1))
    else:
        both = np.asarray(bad.mean(axis=0)).ravel() * bad.shape[0] + 1
        weights = np.log(both / (bad.shape[0] + 2)) - np.log((share * benign.shape[0] + 1) / (benign.shape[0] + 2))
        weights = np.maximum(weights, 0.0)
    # Multiples of 1/1024: sums are exact in float32, so that no order of adding up moves a row across the threshold.
    weights = np.round(weights * 1024) / 1024
    rows = torch.from_numpy(bad.multiply(weights[None, :]).toarray().astype(np.float32))
    overlaps = [benign @ sp.csr_matrix(part.numpy()).T for part in rows.split(512)]
    beyond = np.concatenate([np.quantile(part.toarray(), setting["quantile"], axis=0) for part in overlaps])
    rule = Patterns(rows, torch.from_numpy((np.ceil(beyond * 1024) / 1024).astype(np.float32))).eval()
    if problem.presence:
        return Torch(rule, exact=True)
    found = Torch(rule)
    return Function(lambda X: found.scores(sp.csr_matrix(bits(X), dtype=np.float32)))


def thermometer(train: np.ndarray, columns: np.ndarray, most: int = 16) -> Callable[[Any], np.ndarray]:
    """Rows to bits: whether a column is at least each of its quantiles."""
    cuts = [
        (column, cut)
        for column in columns
        for cut in np.unique(np.quantile(train[:, column], np.linspace(0, 1, most + 1)[1:], method="higher"))
        if cut > train[:, column].min()
    ]
    at, values = np.array([column for column, _ in cuts]), np.array([cut for _, cut in cuts])

    def bits(X: Any) -> np.ndarray:
        dense = X.toarray() if sp.issparse(X) else X
        return (dense[:, at] >= values).astype(np.float32)

    return bits


LIGHTGBM: tuple[Setting, ...] = (
    {"num_leaves": 31, "min_child_samples": 10},
    {"num_leaves": 15, "min_child_samples": 5},
    {"num_leaves": 31, "min_child_samples": 5, "learning_rate": 0.1},
    {"num_leaves": 15, "min_child_samples": 20},
    {"num_leaves": 63, "min_child_samples": 3, "lambda_l2": 1.0},
    {"num_leaves": 31, "min_child_samples": 10, "scale_pos_weight": 0.2},
)
NETWORK: tuple[Setting, ...] = (
    {"pool": "max", "dropout": 0.1},
    {"pool": "sum"},
    {"pool": "max", "dropout": 0.1, "learning_rate": 3e-2},
    {"pool": "max", "dropout": 0.3},
    {"pool": "max", "dropout": 0.1, "positive_weight": 0.2},
    {"pool": "sum", "weight_decay": 0.01, "learning_rate": 3e-3},
)
# fmt: off
PEERS = (
    Model("LightGBM, free", "free", lightgbm(monotone=False), LIGHTGBM, "no constraint", "rounds"),
    Model("network, free", "free", network(monotone=False), NETWORK, "isotone's network without its constraint",
          "epochs"),
    Model("LightGBM", "peer", lightgbm(monotone=True), LIGHTGBM, "its own monotone constraints", "rounds"),
    Model("LightGBM, contained left out", "peer", lightgbm(monotone=True, contained=False), LIGHTGBM,
          "trained without the bad rows that some benign training row contains", "rounds"),
    Model("XGBoost", "peer", xgboost, (
        {},
        {"max_depth": 4},
        {"max_depth": 10, "min_child_weight": 3},
        {"eta": 0.1, "colsample_bytree": 1.0},
        {"max_depth": 8, "reg_lambda": 10.0},
        {"scale_pos_weight": 0.2},
    ), "its own monotone constraints", "rounds"),
    Model("logistic", "peer", logistic, (
        {"l2": 1e-4, "scale": 0.0},
        {"l2": 1e-3, "scale": 0.0},
        {"l2": 1e-5, "scale": 0.0},
        {"l2": 1e-3, "scale": 0.5},
        {"l2": 1e-4, "scale": 0.5},
        {"l2": 1e-4, "scale": 0.0, "weight": 0.2},
    ), "weights from 0 up, by L-BFGS-B"),
    Model("tanh network", "peer", tanh, (
        {"width": 32, "rate": 3e-3},
        {"width": 128, "rate": 1e-3},
        {"width": 32, "rate": 1e-2, "decay": 1e-4},
        {"width": 32, "rate": 3e-3, "layers": 2},
        {"width": 32, "rate": 3e-3, "weight": 0.2},
        {"width": 128, "rate": 3e-3, "decay": 1e-4},
    ), "weights from 0 up and tanh (Fleshman et al. 2018)", "epochs"),
    Model("pattern rule", "peer", pattern, (
        {"weights": "one", "quantile": 0.999},
        {"weights": "rare", "quantile": 0.999},
        {"weights": "ratio", "quantile": 0.999},
        {"weights": "rare", "quantile": 1.0},
        {"weights": "ratio", "quantile": 1.0},
        {"weights": "one", "quantile": 1.0},
    ), "the pilot: overlap with a training malware beyond benign ones, the largest"),
)
# fmt: on
