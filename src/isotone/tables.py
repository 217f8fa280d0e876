"""What was found, as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import require
from .workflow import Attempts


def detectors_table(facts: Mapping[str, Any]) -> Any:
    """The detectors of a comparison, as a rich table."""
    rate = facts["max_false_alarm_rate"]
    table = require("rich.table", "train").Table(
        title=f"Detection at {100 * rate:g}% false alarms, mean over {len(facts['seeds'])} seed(s), test rows",
        title_justify="left",
    )
    table.add_column("detector", min_width=13)
    interval = "95 % interval" if len(facts["seeds"]) == 1 else "95 %, first seed"
    for column in ("AUC", "clean", "after 10\nadditions", "after\nany", f"false alarms\n({interval})"):
        table.add_column(column, justify="right")
    rows = facts["detectors"]
    rivals = sum(one["role"] == "unconstrained" for one in rows)
    for one in rows:
        budgets, curve = one["curve"]["budgets"], one["curve"]["detection"]
        alarms = one["false_alarms"]
        table.add_row(
            one["name"] + (" *" if one["chosen"] and rivals > 1 and one["role"] == "unconstrained" else ""),
            f"{one['auc']['mean']:.3f}",
            f"{one['clean']['mean']:.1%}",
            f"{curve[budgets.index(10)]['mean']:.1%}",
            f"{curve[budgets.index(None)]['mean']:.1%}",
            f"{alarms['rate']:.1%} ({alarms['low']:.1%}-{alarms['high']:.1%})",
            style="bold" if one is rows[0] else None,
        )
    return table


def attempts_table(attempts: Attempts) -> Any:
    """The attacks on a file, as a rich table."""
    table = require("rich.table", "train").Table(
        title=f"Attacks on {attempts.positives} bad rows", title_justify="left"
    )
    table.add_column("attack", no_wrap=True)
    for column in ("monotone:\nevaded", "unconstrained\ntwin: evaded", "its median\nadditions", "the attack"):
        table.add_column(column, justify="right")
    for one in attempts.attempts:
        table.add_row(
            one.name,
            f"{one.evaded} of {one.victims}",
            f"{one.twin_evaded} of {one.twin_victims}",
            "-" if one.twin_median_additions is None else str(one.twin_median_additions),
            "inconclusive" if one.broken else "works",
        )
    return table


def curve_table(attempts: Attempts) -> Any:
    """Detection by number of additions, as a rich table."""
    table = require("rich.table", "train").Table(title="Detection after k additions", title_justify="left")
    table.add_column("k", justify="right")
    for budget in attempts.budgets:
        table.add_column("any" if budget is None else str(budget), justify="right")
    for name, curve in (("monotone", attempts.curve), ("twin", attempts.twin_curve)):
        table.add_row(name, *(f"{value:.0%}" for value in curve))
    return table
