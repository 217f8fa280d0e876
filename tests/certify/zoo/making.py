"""Every model that is judged in these tests, by a name that a file can carry: `certify.zoo.making:zoo_17`."""

from __future__ import annotations

import torch


def __getattr__(name: str):
    kind, _, number = name.partition("_")
    if kind not in ("zoo", "verdict", "impostor") or not number.isdigit():
        raise AttributeError(name)
    return lambda: made(kind, int(number))


def made(kind: str, number: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return makers(kind)[number]()


def makers(kind: str) -> list:
    """The makers of the models of one table, in its order."""
    if kind == "zoo":
        from . import ZOO  # noqa: PLC0415 - only the table that is asked for

        return [case.make for case in ZOO.values()]
    if kind == "impostor":
        from ..impostors import IMPOSTORS  # noqa: PLC0415

        return list(IMPOSTORS)
    from ..test_verdicts import VERDICTS  # noqa: PLC0415

    return [row[0] for row in VERDICTS]
