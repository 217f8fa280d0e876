"""Losses for the region where a detector is used: few false alarms.

- the benign rows near the threshold are compared with, the others cost nothing;
- a bad row far below the threshold costs no more than 1: what no monotone score can reach does not bend the others;
- weights are counts of rows: a weight of 2 is a row twice.
"""

from __future__ import annotations

import torch
from torch import Tensor


def ranks(benign: Tensor, weight: Tensor, total: float, low: float, high: float) -> Tensor:
    """Positions of the benign rows whose false-alarm rate lies in [low, high]; at least one.

    Args:
        benign: shape (rows,), scores; the highest ones of all benign rows are enough.
        weight: shape (rows,), at least 0.
        total: weight of all benign rows, also of those that are not given.

    >>> ranks(torch.tensor([5.0, 9.0, 7.0, 1.0]), torch.ones(4), 4.0, 0.3, 0.7)
    tensor([2, 0])
    """
    order = torch.argsort(benign, descending=True, stable=True)
    share = (torch.cumsum(weight[order], 0) - weight[order] / 2) / total
    inside = (share >= low) & (share <= high) & (weight[order] > 0)
    if not bool(inside.any()):
        inside = torch.zeros_like(inside)
        inside[int((share < (low + high) / 2).sum().clamp(max=len(share) - 1))] = True
    return order[inside]


def partial_auc_loss(
    bad: Tensor,
    bad_weight: Tensor,
    benign: Tensor,
    benign_weight: Tensor,
    *,
    total: float,
    low: float = 0.0,
    high: float = 0.01,
    temperature: float = 0.5,
    bounded: bool = True,
) -> Tensor:
    """Smoothed share of pairs in the wrong order, of a bad row and a benign row in a band of false-alarm rates.

    Args:
        bad, bad_weight: shape (bad rows,).
        benign, benign_weight: shape (benign rows,), the highest ones.
        total: weight of all benign rows.
        low, high: the band.
        temperature: scores this much apart are told apart.
        bounded: a pair costs a sigmoid, at most 1; otherwise a softplus, which grows with the distance.

    Returns:
        A scalar with gradients. Cost: bad rows times benign rows of the band.
    Source: Narasimhan and Agarwal, "SVMpAUC-tight", KDD 2013, for the band; the sigmoid is what makes a bad row that
        cannot be reached cost no more than one that is just missed.
    """
    band = ranks(benign.detach(), benign_weight, total, low, high)
    gap = (benign[band][None, :] - bad[:, None]) / temperature
    cost = torch.sigmoid(gap) if bounded else torch.nn.functional.softplus(gap)
    weight = bad_weight[:, None] * benign_weight[band][None, :]
    return (cost * weight).sum() / weight.sum()


def detection_loss(
    bad: Tensor,
    bad_weight: Tensor,
    benign: Tensor,
    benign_weight: Tensor,
    *,
    total: float,
    rate: float = 0.01,
    temperature: float = 0.5,
) -> Tensor:
    """Minus the smoothed share of bad rows above the threshold at a false-alarm rate; the threshold is a mean of ranks.

    Args: as `partial_auc_loss`; `rate` is the false-alarm rate of the threshold.
    """
    band = ranks(benign.detach(), benign_weight, total, rate / 2, rate * 1.5)
    threshold = (benign[band] * benign_weight[band]).sum() / benign_weight[band].sum()
    reached = torch.sigmoid((bad - threshold) / temperature)
    return -(reached * bad_weight).sum() / bad_weight.sum()
