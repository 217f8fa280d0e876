"""docs/tabular.md and its plot, from the records alone."""

# ruff: noqa: PLC0415, E501 - tables and sentences are as long as they are
from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from isotone.estimators._learn import FEW_ROWS

from . import published, records, splits, statistics
from .parts import Model
from .protocol import FULL, LEADING, MODELS, QUICK
from .statistics import Difference, Records
from .tables import DEVELOPMENT, SETS

INTRODUCTION = """# isotone on tables, measured cleanly

Written by `python benchmarks/tabular.py --report` from the lines in `benchmarks/results/`; do not edit.

**Protocol.** 3 x 5 outer splits, stratified for classes; rows with the same feature vector are always on the same side.
BlogFeedback has its published test part, GMSC one split, a set that is made is drawn anew. A fifth of the rows to learn
from is validation. Every peer tries the same number of settings ({trials}; {quick} in the quick form), its default first, at
most {seconds:.0f} seconds of a core each ({quick_seconds:.0f}); isotone tries {ours}, none drawn at random, and up to 1,000 rows its default alone,
which chooses size, decay and length by folds of the rows that it is given. What is tried is chosen by the leading figure
on validation, fitted again on training and validation rows together with the rounds that early stopping found, and
judged once. The leading figure is log loss for classes (accuracy moves in steps of whole rows; AUC does not see what the chances say) and root
mean squared error for numbers, in standard deviations of the target. COMPAS, Heart, AutoMPG and ESL were looked at while the library was written;
the other sets are opened once per release, which `benchmarks/results/tabular_opened.json` logs.
"""


PEEKS = """isotone's lines of the six sets with up to 1,000 rows are of its third release to them. For the second its estimators
had changed for few rows, on the sets for development; the first settings of that day were given up because they lost on
two of those (ESL, AutoMPG), when five splits of ERA had been judged with them. For the third a line was added to what is
tried by folds, because test parts of LEV had shown that it is best there; how long it is trained was set on Heart, AutoMPG
and ESL. Its lines of the five larger sets are of its third
release, too: units of its network for many rows had died in training, as validation rows of GMSC showed. The mend, and which
settings are tried, were chosen on COMPAS, on validation rows of GMSC and BlogFeedback, and on draws of the two sets that
are made which this page does not judge (101 and following). A first run of that day was given up when its line for
screening was no better than before (.1596; GMSC .1932, BlogFeedback .7464): free features were shown too coarsely, as those
other draws said. Peers' lines stayed. Two draws more of the sets that are made were measured later, of all models, isotone's
estimators as they were; it had been judged on these draws in both of those runs, and nothing was chosen there. Then its
lines of the five larger sets were measured anew, a fourth release to them: a booster teaches its network (below). In a first
run of that day it taught numbers by default, too (staircase .3043, BlogFeedback .7357): given up, as it harms skewed
targets. A share of .5 was put among what is tried for numbers instead, when these two test lines had been seen; other draws
of the staircase had spoken for it before. Lines of classes are of that first run: what is tried for them is the same since.
"""
NOTES = {
    "staircase": ["No monotone model can be below an RMSE of about 0.299 (R2 0.9104): the truth waves."],
    "screening": ["The truth itself has a log loss of 0.154 on average over draws, and obeys its directions."],
}


def values(found: Records, name: str, figure: str) -> dict[str, dict[int, float]]:
    """Model to split to figure."""
    by_model: dict[str, dict[int, float]] = defaultdict(dict)
    for (set_name, number, model), row in found.items():
        if set_name == name and model in MODELS:
            by_model[model][number] = row["figures"][figure]
    return dict(by_model)


def complete(found: Records, name: str) -> dict[str, dict[int, float]]:
    """Only models that were measured on every split that any was: the others would be compared unevenly."""
    by_model = values(found, name, LEADING[SETS[name].task])
    most = max((len(each) for each in by_model.values()), default=0)
    return {model: each for model, each in by_model.items() if len(each) == most}


def means(found: Records, name: str) -> dict[str, float]:
    return {model: float(np.mean(list(each.values()))) for model, each in complete(found, name).items()}


def ordered(found: Records) -> list[str]:
    return [name for name in SETS if any(key[0] == name for key in found)]


def peers(model: Model) -> bool:
    return model.monotone and not model.ours


def against(found: Records, name: str, model: str, other: str) -> Difference:
    """The difference of the leading figure of two models on a set."""
    each = complete(found, name)
    common = sorted(set(each[model]) & set(each[other]))
    return apart(name, *([found[name, number, which] for number in common] for which in (model, other)))


def apart(name: str, *rows: list[dict[str, Any]]) -> Difference:
    """The difference of the leading figure of two lists of lines about the same splits of a set."""
    task = SETS[name].task
    if len(rows[0]) == 1 and "blocks" in rows[0][0]:
        figure = np.sqrt if task == "regression" else np.asarray
        return statistics.over_blocks(*(np.array(row[0]["blocks"]) for row in rows), figure)
    train, validation, test = np.mean([row["rows"] for row in rows[0]], axis=0)
    ours, theirs = (np.array([row["figures"][LEADING[task]] for row in each]) for each in rows)
    # Draws share no rows, so nothing is to be corrected.
    return statistics.over_splits(ours, theirs, 0.0 if SETS[name].outer == "draws" else test / (train + validation))


def best_peer(found: Records, name: str) -> str | None:
    by_model = {model: mean for model, mean in means(found, name).items() if peers(MODELS[model])}
    return min(by_model, key=by_model.__getitem__) if by_model else None


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head: list[str], body: list[list[object]]) -> str:
    return "\n".join([row(*head), row(*["---"] * len(head)), *(row(*cells) for cells in body)]) + "\n"


def rank_table(found: Records) -> str:
    names = ordered(found)
    by_set = {name: means(found, name) for name in names}
    mean_rank = statistics.mean_ranks(by_set)
    per_set = {name: statistics.ranks(by_set[name]) for name in names}
    body = []
    for model, (mean, count) in sorted(mean_rank.items(), key=lambda item: item[1][0]):
        kind = "monotone" if MODELS[model].monotone else "free"
        cells = [f"{per_set[name][model]:g}" if model in per_set[name] else "-" for name in names]
        body.append([f"**{model}**" if MODELS[model].ours else model, kind, f"{mean:.2f}", f"{count}", *cells])
    return table(["model", "kind", "mean rank", "sets", *names], body)


def figure_tables(found: Records) -> str:
    """Every figure of every model on every set, with the spread over splits."""
    out = []
    for name in ordered(found):
        by_model, rows = means(found, name), defaultdict(list)
        for (set_name, _, model), record in found.items():
            if set_name == name:
                rows[model].append(record)
        figures = list(next(iter(rows.values()))[0]["figures"])
        body = []
        for model in sorted(by_model, key=by_model.__getitem__):
            cells: list[object] = [model]
            for figure in figures:
                each = np.array([record["figures"][figure] for record in rows[model]])
                spread = f" ± {each.std(ddof=1):.4f}" if len(each) > 1 else ""
                cells.append(f"{each.mean():.4f}{spread}")
            seconds = np.mean([record["fit_s"] for record in rows[model]])
            seen = [record["falls"] for record in rows[model] if record["falls"] is not None]
            proofs = sorted({str(record["verdict"]) for record in rows[model] if "verdict" in record})
            body.append([*cells, f"{seconds:.1f}", sum(seen) if seen else "-", ", ".join(proofs) or "-"])
        count = max(len(each) for each in rows.values())
        head = ["model", *figures, "last fit, s", "falls seen", "proof"]
        title = f"### {name} ({SETS[name].task}, {count} split{'s' * (count > 1)})"
        out.append("\n\n".join([title, *NOTES.get(name, ()), table(head, body)]))
    return "\n".join(out)


def difference_table(found: Records) -> str:
    ours = next(name for name, model in MODELS.items() if model.ours)
    body = []
    for name in ordered(found):
        peer = best_peer(found, name)
        if peer is None or ours not in means(found, name):
            continue
        apart = against(found, name, ours, peer)
        said = "not told apart" if not abs(apart.errors) > 1 else "better" if apart.mean < 0 else "**worse**"
        error = f"{apart.plain:.4f} ({apart.corrected:.4f})"
        body.append([name, peer, f"{apart.mean:+.4f}", error, f"{apart.errors:+.2f}", apart.splits, said])
    if not body:
        return "No set yet where both isotone and a monotone peer were measured.\n"
    return table(
        ["set", "best monotone peer", "ours minus theirs", "standard error (corrected)", "errors", "splits", ""], body
    )


def taught_table(found: Records, before: Records) -> str:
    """isotone's lines beside those of the same splits of a release that had no teacher."""
    body = []
    for name in ordered(before):
        both = sorted({key for key in before if key[0] == name} & set(found))
        rows = [[which[key] for key in both] for which in (found, before)]
        here, there = (np.mean([row["figures"][LEADING[SETS[name].task]] for row in each]) for each in rows)
        off = apart(name, *rows)
        body.append([name, f"{here:.4f}", f"{there:.4f}", f"{off.mean:+.4f} ± {off.plain:.4f}", len(both)])
    return table(["set", "with a teacher", "before", "difference, standard error", "splits"], body)


def published_table() -> str:
    body = [[row.method, row.compas, row.heart, row.autompg, row.blog, row.how, row.source] for row in published.TABLE]
    return table(
        ["method", "COMPAS acc.", "Heart acc.", "AutoMPG MSE", "Blog RMSE", "how it was chosen", "source"], body
    )


def summary(path: Path) -> str:
    """For the screen: ranks and differences."""
    found = records.measured(path)
    return f"{rank_table(found)}\n{difference_table(found)}" if found else "nothing measured"


OURS, PEER, NOT_MONOTONE, WORSE = "#b2182b", "#2166ac", "#999999", "#e08214"


def plot(found: Records, path: Path) -> None:
    """Left: mean ranks with half the critical difference to each side. Right: differences in standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = ordered(found)
    by_set = {name: means(found, name) for name in names}
    mean_rank = statistics.mean_ranks(by_set)
    models = sorted(mean_rank, key=lambda model: -mean_rank[model][0])
    half = statistics.critical_difference(len(models), len(names)) / 2
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 0.4 * max(len(models), len(names)) + 1.6))
    for place, model in enumerate(models):
        ink = OURS if MODELS[model].ours else PEER if MODELS[model].monotone else NOT_MONOTONE
        left.errorbar(mean_rank[model][0], place, xerr=half, fmt="o", color=ink, capsize=3)
    left.set_yticks(range(len(models)), models)
    left.set_title("All models", fontsize=11)
    left.set_xlabel(f"mean rank over {len(names)} sets, left is better; bars apart: told apart at 5 %")
    for said, ink in {"isotone": OURS, "monotone peers": PEER, "not monotone": NOT_MONOTONE}.items():
        left.plot([], [], "o", color=ink, label=said)
    left.legend(loc="upper right", fontsize=9)
    ours = next(name for name, model in MODELS.items() if model.ours)
    marks = [
        (name, against(found, name, ours, peer).errors)
        for name in names
        if ours in by_set[name] and (peer := best_peer(found, name))
    ]
    for place, (_, errors) in enumerate(reversed(marks)):
        right.plot(np.clip(errors, -12, 12), place, "o", color=WORSE if errors > 1 else OURS)
    right.axvspan(-1, 1, color="#eeeeee", zorder=0)
    right.axvline(0, color=NOT_MONOTONE, linewidth=0.8)
    right.set_yticks(range(len(marks)), [f"{name} ({best_peer(found, name)})" for name, _ in reversed(marks)])
    right.set_title("isotone less each set's best monotone peer", fontsize=11)
    right.set_xlabel("standard errors, left is better; orange: worse")
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def wanted() -> list[records.Key]:
    """Every judgement of the full form on the sets for development."""
    return [
        (name, number, model)
        for name in DEVELOPMENT
        for number in range(splits.count(name, quick=False))
        for model in MODELS
    ]


def form_of(out: Path) -> tuple[str, Records, str]:
    """The full form once it is complete on the sets for development, else the quick one; and what is left of the full.

    Half a form would compare models on the splits that happened to be done.
    """
    full, quick = records.measured(out / "tabular.jsonl"), records.measured(out / "tabular_quick.jsonl")
    left = [key for key in wanted() if key not in full]
    if full and (not left or not quick):
        return "full", full, ""
    done = len(wanted()) - len(left)
    said = f"The full form is not finished: {done} of {len(wanted())} judgements on the sets for development stand in\n"
    said += "`tabular.jsonl`; `python benchmarks/tabular.py --data folder` goes on with it.\n"
    return "quick", quick, said if full else ""


def whole_sets(out: Path) -> str:
    """Of an unfinished full form, the sets on which every model is through all splits."""
    full = records.measured(out / "tabular.jsonl")
    wanting = {name for name, *_ in (key for key in wanted() if key not in full)}
    done = {key: row for key, row in full.items() if key[0] in DEVELOPMENT and key[0] not in wanting}
    if not done:
        return ""
    said = "On these every model is through all splits; lines of other sets are left out.\n"
    return "\n".join(["## The full form, where it is complete\n", said, rank_table(done), difference_table(done)])


def taught_section(found: Records, out: Path) -> list[str]:
    """Nothing where the lines of before are not there."""
    before = records.measured(out / "tabular_before_teacher.jsonl")
    if not before:
        return []
    return [
        "## What a teacher brings\n",
        "isotone's lines of its fourth release to the larger sets beside those of its third, whose networks learnt from the\n"
        "targets alone, with two settings less tried. The teacher is two boosters of scikit-learn's HGB, itself a peer here,\n"
        "with its defaults but for a rate of .05 and early stopping; what predicts is a network. By default half of what is\n"
        "learnt of classes is what they say; of numbers nothing, but shares of .5 and 1 are tried. All this was chosen on\n"
        "COMPAS, on training and validation rows of GMSC and BlogFeedback, on draws of the made sets that this page does not\n"
        "judge, and on a skewed target made for it.\n",
        taught_table(found, before),
    ]


def write(out: Path, docs: Path) -> str:
    """The page and the plot; says where they are."""
    form, found, left = form_of(out)
    if not found:
        return f"nothing measured in {out}"
    introduction = INTRODUCTION.format(
        trials=FULL.trials,
        seconds=FULL.seconds,
        quick=QUICK.trials,
        quick_seconds=QUICK.seconds,
        ours=len(MODELS["isotone"].settings(FULL.trials, FEW_ROWS + 1)),
    )
    commits = sorted({row["commit"][:12] + "+" * ("changes" in row["commit"]) for row in found.values()})
    versions = next(reversed(found.values()))["versions"]
    hours = sum(row["wall_s"] for row in found.values()) / 3600
    opened = out / "tabular_opened.json"
    openings = json.loads(opened.read_text()) if opened.exists() else []
    text = [
        introduction,
        f"These are the figures of the **{form} form**, {len(found)} judgements, {hours:.1f} hours of one core; commits "
        f"{', '.join(commits)} (+: with changes); {', '.join(f'{k} {v}' for k, v in versions.items() if v)}.\n",
        *([left] if left else []),
        f"Sets that are not for development were opened {len(openings)} time{'s' * (len(openings) != 1)} so far.\n",
        *([PEEKS] if form == "full" else []),
        "![mean ranks, and differences to the best monotone peer](tabular.png)\n",
        "## Mean rank first\n",
        "By the mean of the leading figure over the splits of a set; 1 is best. Free models are not monotone and show the\n"
        "price of being so.\n",
        rank_table(found),
        "## isotone against the best monotone peer of each set\n",
        "The peer is the best on the test parts, after the fact: that favours the peer. Errors are plain standard errors\n"
        "over splits, which are too small as splits overlap (Nadeau and Bengio's corrected ones in brackets); the rule\n"
        "*not worse by more than one standard error* is judged by the plain, stricter one.\n",
        difference_table(found),
        *(taught_section(found, out) if form == "full" else []),
        *([whole_sets(out)] if left else []),
        "## All figures\n",
        "Mean and standard deviation over splits, the leading figure first. *Falls seen*: steps against a direction on\n"
        "sweeps of 40 test rows over 21 values of each constrained column, all splits together.\n",
        figure_tables(found),
        "## Published figures, chosen on their test sets\n",
        "As printed, for the same names of data sets but other splits and protocols; most are the best of many looks at the\n"
        "test part. They say nothing against figures above, and ours nothing against them.\n",
        published_table(),
    ]
    (docs / "tabular.md").write_text("\n".join(text))
    plot(found, docs / "tabular.png")
    return f"{docs / 'tabular.md'} and its plot, from {len(found)} judgements"
