"""A head as files and graphs meet it in evaluation mode: one row at a time."""

from __future__ import annotations

from torch import Tensor, nn


class OfOne(nn.Module):
    """What a head makes of the first row alone: what it makes of several together says nothing of one."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head
        self.train(head.training)

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(rows[:1])  # type: ignore[no-any-return]
