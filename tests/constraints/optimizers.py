"""Optimizers of kinds that torch does not have, as small as they are faithful: they move weights in their own ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class ScheduleFreeSGD(Optimizer):
    """Defazio et al. 2024, "The Road Less Scheduled", equations 2 to 4, as in `schedulefree.SGDScheduleFree`.

    Parameters hold y in training and x after `eval()`; z is in the state. y = (1 - beta) z + beta x.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "k": 0, "train_mode": True})

    @torch.no_grad()
    def eval(self) -> None:
        self._turn(to=False)

    @torch.no_grad()
    def train(self) -> None:
        self._turn(to=True)

    def _turn(self, to: bool) -> None:
        for group in self.param_groups:
            if group["train_mode"] != to:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        p.lerp_(self.state[p]["z"], 1 - group["beta"] if to else 1 - 1 / group["beta"])
                group["train_mode"] = to

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["k"] += 1
            c, lr, beta = 1 / group["k"], group["lr"], group["beta"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                z = self.state[p].setdefault("z", p.clone())
                p.lerp_(z, c)
                p.add_(p.grad, alpha=lr * (beta * (1 - c) - 1))
                z.sub_(p.grad, alpha=lr)
        return loss


class LookaheadAround:
    """Zhang et al. 2019, "Lookahead Optimizer": no Optimizer itself, as most engines around optimizers are not."""

    def __init__(self, base: Optimizer, k: int, alpha: float) -> None:
        self.base, self.k, self.alpha, self.count = base, k, alpha, 0
        self.slow = {p: p.detach().clone() for group in base.param_groups for p in group["params"]}

    def zero_grad(self) -> None:
        self.base.zero_grad()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = self.base.step(closure)
        self.count += 1
        if self.count % self.k == 0:
            with torch.no_grad():
                for p, slow in self.slow.items():
                    slow.lerp_(p, self.alpha)
                    p.copy_(slow)
        return loss


class Lookahead(Optimizer):
    """The same, as an Optimizer that shares the groups of the one inside: torch's hooks see both."""

    def __init__(self, base: Optimizer, k: int, alpha: float) -> None:
        super().__init__(base.param_groups, {})
        self.param_groups = base.param_groups
        self.optimizer = base
        self._around = LookaheadAround(base, k, alpha)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        return self._around.step(closure)


class SAM(Optimizer):
    """Foret et al. 2021, "Sharpness-Aware Minimization", in the form of davda54/sam: `step` needs a closure."""

    def __init__(self, params: Iterable[Tensor], base: Callable[..., Optimizer], rho: float, **settings: Any) -> None:
        super().__init__(params, {"rho": rho, **settings})
        self.base_optimizer = base(self.param_groups, **settings)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        assert closure is not None
        closure = torch.enable_grad()(closure)
        loss = closure()
        moved = [(p, group["rho"]) for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p, _ in moved]).norm() + 1e-12
        before = [p.clone() for p, _ in moved]
        for p, rho in moved:
            p.add_(p.grad, alpha=float(rho / norm))
        closure()
        for (p, _), old in zip(moved, before, strict=True):
            p.copy_(old)
        self.base_optimizer.step()
        return loss
