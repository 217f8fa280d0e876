"""docs/detection.md and its plots, from the records alone."""

# ruff: noqa: E501 - tables and sentences are as long as they are
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _tabular import records

from isotone.attack import QUICK as FEW_ATTACKS
from isotone.evaluation import clopper_pearson

from . import plot
from .judge import FULL, RATE
from .judge import QUICK as SHORT
from .models import FREE, MODELS
from .sets import SETS
from .targets import TARGETS, Target

Record = dict[str, Any]
Found = dict[tuple[str, int, str], Record]
ALLOWED = 0.012  # a mean realised false-alarm rate above this does not meet 1 %
UNCONSTRAINED = "unconstrained"
SHOWN_LOSSES = (0.0, 0.01, 0.02, 0.05, 1.0)

INTRODUCTION = """# Detectors that additions cannot evade: what they detect

Written by `python benchmarks/detection.py --report` from the lines in `benchmarks/results/`; do not edit.

**Protocol.** {seeds} splits of each set into train, validation and test (60/20/20), near those shares of each class; no
feature vector is on two sides, and of equal rows one is left, with the label of most of them (a tie leaves none). Each
model tries up to {settings} settings (isotone's floors and `Detector`: their defaults only) and is chosen on validation rows
by detection at 1 % false alarms, then by partial AUC. Its threshold is the lowest that at most 1 % of the validation
benign rows exceed, the same rule for all; test rows are judged once. Beside every detection stands the false-alarm rate
that the test rows really show: **FA** marks a mean above 1.2 %, which does not meet a 1 % target. *Unconstrained* is, for
each split, the better of the tuned LightGBM and the tuned network without constraint, by clean detection on validation.

*Certified* is the share of bad test rows whose alarm no addition undoes: of a monotone model alone all its alarms, of
`Detector` those of its floor. *Attacked* is the share still detected after the best of all attacks with any number of
additions. All attacks of `isotone.attack.suite` run on the split of seed 0, {few} on every split; at most {victims} detected rows a
model are attacked (the shares of certified and other alarms are weighed by their true numbers).
"""


def table(head: Iterable[object], body: Iterable[Iterable[object]]) -> str:
    lines = [list(head), *map(list, body)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def seeds_of(found: Found, name: str, model: str) -> list[int]:
    return sorted(seed for set_name, seed, which in found if set_name == name and which == model)


def with_unconstrained(found: Found) -> Found:
    """Beside each split's free models, the better of them under a name of its own."""
    made = dict(found)
    for name, seed in sorted({key[:2] for key in found}):
        free = [found[name, seed, model] for model in FREE if (name, seed, model) in found]
        if len(free) == len(FREE):
            best = max(free, key=lambda row: (row["validation"]["detection"], row["validation"]["partial AUC"]))
            made[name, seed, UNCONSTRAINED] = {**best, "is": best["model"]}
    return made


def values(found: Found, name: str, model: str, figure: str) -> np.ndarray:
    """One number a split, by seed."""

    def one(row: Record) -> float:
        if figure == "attacked":
            return float(row["attacks"]["curve"][-1])
        value = row["figures"][figure]
        return float(value[0] if isinstance(value, list) else value)

    return np.array([one(found[name, seed, model]) for seed in seeds_of(found, name, model)])


def mean(found: Found, name: str, model: str, figure: str) -> float:
    return float(values(found, name, model, figure).mean())


def told(these: np.ndarray, digits: int = 3) -> str:
    """Mean and standard deviation over splits."""
    if not len(these):
        return "-"
    spread = f" ± {these.std(ddof=1):.{digits}f}" if len(these) > 1 else ""
    return f"{these.mean():.{digits}f}{spread}"


def false_alarms(found: Found, name: str, model: str, part: str = "figures") -> str:
    """Mean over splits, and the interval of all splits' benign rows together."""
    rows = [found[name, seed, model] for seed in seeds_of(found, name, model)]
    rows = [row for row in rows if part in row]
    if not rows:
        return "-"
    rates = np.array([row[part]["false alarms"][0] for row in rows])
    benign = [row["rows"][2][0] - row["rows"][2][1] for row in rows]
    count = round(sum(rate * of for rate, of in zip(rates, benign, strict=True)))
    pooled = clopper_pearson(count, sum(benign))
    mark = " **FA**" if rates.mean() > ALLOWED else ""
    return f"{100 * rates.mean():.2f} % ({100 * pooled.low:.2f} to {100 * pooled.high:.2f}){mark}"


def models_of(found: Found, name: str) -> list[str]:
    there = {model for set_name, _, model in found if set_name == name}
    return [model for model in (UNCONSTRAINED, *MODELS) if model in there]


def kind(model: str) -> str:
    return "free" if model == UNCONSTRAINED else MODELS[model].kind


def set_table(found: Found, name: str) -> str:
    body = []
    for model in models_of(found, name):
        bold = "**" if kind(model) in ("ours", "guarded") else ""
        cells = [told(values(found, name, model, figure)) for figure in ("detection", "certified", "attacked")]
        scores = [told(values(found, name, model, figure)) for figure in ("partial AUC", "AUC")]
        count = len(seeds_of(found, name, model))
        body.append([f"{bold}{model}{bold}", kind(model), *cells, false_alarms(found, name, model), *scores, count])
    return table(
        [
            "model",
            "kind",
            "detected",
            "certified",
            "attacked",
            "false alarms (95 % of all)",
            "partial AUC",
            "AUC",
            "splits",
        ],
        body,
    )


def met(found: Found, target: Target) -> list[object] | None:
    """A row of the table of targets; None without records."""
    name, model = target.set, target.model
    figures = fresh_figures(found) if target.fresh else found
    seeds = [seed for seed in seeds_of(figures, name, model) if (name, seed, UNCONSTRAINED) in found]
    if not seeds:
        return None
    peer = best_peer(figures, name) if target.least is None else None
    least = target.least if target.least is not None else peer[1] if peer else 0.0
    certified, rate = mean(figures, name, model, "certified"), mean(figures, name, model, "false alarms")
    good, said, asked = certified >= least, f"certified {certified:.3f}", target.said
    if peer:
        asked += f" ({peer[0]}: {peer[1]:.3f}, chosen on the test rows)"
        apart = [
            figures[name, seed, model]["figures"]["certified"] - figures[name, seed, peer[0]]["figures"]["certified"]
            for seed in seeds
        ]
        said += f", {differs(apart, 1, 3)} to the peer"
    if target.clean_loss is not None:
        pairs = [
            found[name, seed, UNCONSTRAINED]["figures"]["detection"] - found[name, seed, model]["figures"]["detection"]
            for seed in seeds
        ]
        loss = float(np.mean(pairs))
        good = good and loss <= target.clean_loss
        said += f", clean {differs(pairs, -100, 2)} points to unconstrained"
    said += f", false alarms {100 * rate:.2f} %"
    if rate > ALLOWED:
        good, said = False, said + " **FA**"
    verdict = "reached" if good else "**not reached**"
    if good and peer and (ahead := strongest_peer(figures, name)) and ahead[1] > certified:
        alarms = 100 * mean(figures, name, ahead[0], "false alarms")
        verdict = f"**open**: beside peers that keep the rate; {ahead[0]} certifies {ahead[1]:.3f} at {alarms:.2f} %"
    return [name, asked, model, said, verdict, len(seeds)]


def differs(pairs: Sequence[float], scale: float, digits: int) -> str:
    """The mean difference over splits, and its plain standard error (too small, as splits overlap)."""
    off = scale * np.array(pairs)
    error = f" ± {off.std(ddof=1) / len(off) ** 0.5:.{digits}f}" if len(off) > 1 else ""
    return f"{off.mean():+.{digits}f}{error}"


def fresh_figures(found: Found) -> Found:
    """The records with the figures of a threshold set anew; of monotone models, whose alarms are all certified."""
    made = {}
    for key, row in found.items():
        if "fresh" in row and row["kind"] != "free":
            figures = {**row["fresh"], "certified": row["fresh"]["detection"]}
            made[key] = {**row, "figures": figures}
    return made


def best_peer(found: Found, name: str) -> tuple[str, float] | None:
    """The monotone peer that certifies most among those within the false-alarm rate, on the test rows: after the fact."""
    peers = peers_of(found, name)
    within = [model for model in peers if mean(found, name, model, "false alarms") <= ALLOWED] or peers
    return most_certified(found, name, within)


def strongest_peer(found: Found, name: str) -> tuple[str, float] | None:
    """The monotone peer that certifies most on the test rows, whatever its false alarms: what is shown beside ours."""
    return most_certified(found, name, peers_of(found, name))


def peers_of(found: Found, name: str) -> list[str]:
    return [model for model in models_of(found, name) if kind(model) == "peer"]


def most_certified(found: Found, name: str, models: list[str]) -> tuple[str, float] | None:
    scored = [(mean(found, name, model, "certified"), model) for model in models]
    return (max(scored)[1], max(scored)[0]) if scored else None


def targets(found: Found) -> str:
    rows = [row for target in TARGETS if (row := met(found, target)) is not None]
    return table(["set", "to reach", "by", "figures", "", "splits"], rows)


def attack_table(found: Found) -> str:
    """Each attack on the free models (its positive control), and on every certified alarm."""
    names = list(dict.fromkeys(attack for row in found.values() for attack in row["attacks"]["by"]))
    rows = [row for key, row in found.items() if key[2] != UNCONSTRAINED]
    body = []
    for name in names:
        control = [row for row in rows if row["kind"] == "free" and name in row["attacks"]["by"]]
        rates = [row["attacks"]["by"][name]["rate"] for row in control if row["attacks"]["victims"]]
        victims = sum(row["attacks"]["victims"] for row in control)
        evaded = sum(row["attacks"]["by"][name]["evaded"] for row in control)
        medians = [row["attacks"]["by"][name]["median additions"] for row in control]
        medians = [value for value in medians if value is not None]
        guarded = [row for row in rows if row["kind"] != "free" and name in row["attacks"]["by"]]
        certified = sum(row["attacks"]["certified victims"] for row in guarded)
        undone = sum(row["attacks"]["by"][name]["certified evaded"] for row in guarded)
        works = f"{sum(rate > 0.5 for rate in rates)} of {len(rates)}"
        share = f"{evaded / victims:.3f} of {victims:,}" if victims else "-"
        median = f"{np.median(medians):g}" if medians else "-"
        body.append([name, share, works, median, f"{certified:,}", undone])
    head = [
        "attack",
        "evades free models",
        "of them above half",
        "median additions",
        "certified alarms attacked",
        "undone",
    ]
    return table(head, body)


def control_table(found: Found) -> str:
    """How much of each set's unconstrained detection is left after the best of the attacks: the positive control."""
    body = []
    for name in SETS:
        if rows := [found[name, seed, UNCONSTRAINED] for seed in seeds_of(found, name, UNCONSTRAINED)]:
            curves = np.array([row["attacks"]["curve"] for row in rows])
            evaded = 1 - curves[:, -1] / np.maximum(curves[:, 0], 1e-9)
            said = "" if (evaded > 0.5).all() else "inconclusive on some splits"
            body.append([name, told(curves[:, 0]), told(curves[:, -1]), told(evaded), said, len(rows)])
    return table(["set", "unconstrained, clean", "attacked", "share evaded", "", "splits"], body)


def totals(found: Found) -> dict[str, int]:
    """Certified alarms attacked and undone, and records whose certified share is above the empirical one."""
    rows = [row for key, row in found.items() if key[2] != UNCONSTRAINED and row["kind"] != "free"]
    over = [
        row
        for row in rows
        if row["attacks"]["victims"] and row["figures"]["certified"] > row["attacks"]["curve"][-1] + 1e-9
    ]
    return {
        "alarms": sum(row["attacks"].get("certified victims", 0) for row in rows),
        "undone": sum(row["attacks"]["certified evaded"] for row in rows),
        "above empirical": len(over),
        "records": len(rows),
    }


def reason_table(found: Found) -> str:
    body = []
    for name in SETS:
        for model in models_of(found, name):
            rows = [found[name, seed, model].get("reasons") for seed in seeds_of(found, name, model)]
            these = [row for row in rows if row and row["alarms"]]
            if not these or model == UNCONSTRAINED:
                continue
            total = {
                key: sum(row[key] for row in these)
                for key in ("alarms", "supersets", "undone by supersets", "undone by attacks")
            }
            sizes = np.array([row["median size"] for row in these])
            features = np.array([row["median features"] for row in these])
            body.append(
                [
                    name,
                    model,
                    *(f"{value:,}" for value in total.values()),
                    told(sizes, 1),
                    max(row["largest size"] for row in these),
                    told(features, 1),
                ]
            )
    if not body:
        return "Not measured yet.\n"
    head = [
        "set",
        "model",
        "alarms",
        "random supersets",
        "undone",
        "undone by attacks",
        "median facts",
        "most",
        "median features of the row",
    ]
    return table(head, body)


def trade_table(found: Found) -> str:
    """What each clean loss buys, mean over splits."""
    body = []
    for name in SETS:
        for model in models_of(found, name):
            rows = [found[name, seed, model] for seed in seeds_of(found, name, model)]
            rows = [row for row in rows if "trade" in row]
            for place in range(len(rows[0]["trade"])) if rows else ():
                these = [row["trade"][place] for row in rows]
                if these[0]["allowed"] not in SHOWN_LOSSES:
                    continue
                cells = [told(np.array([one[key] for one in these])) for key in ("detection", "certified")]
                rate, part = (float(np.mean([one[key] for one in these])) for key in ("false alarms", "floor's share"))
                body.append(
                    [
                        name,
                        model,
                        f"{100 * these[0]['allowed']:g}",
                        *cells,
                        f"{100 * rate:.2f} %",
                        f"{part:.2f}",
                        len(these),
                    ]
                )
    head = [
        "set",
        "model",
        "points allowed",
        "detected",
        "certified",
        "false alarms",
        "floor's share of the budget",
        "splits",
    ]
    return table(head, body) if body else "Not measured yet.\n"


def fresh_table(found: Found) -> str:
    body = []
    for name in ("mimicus_a", "mimicus_b"):
        for model in models_of(found, name):
            rows = [found[name, seed, model] for seed in seeds_of(found, name, model)]
            rows = [row for row in rows if "fresh" in row]
            if rows:
                detected = np.array([row["fresh"]["detection"] for row in rows])
                body.append(
                    [name, model, kind(model), told(detected), false_alarms(found, name, model, "fresh"), len(rows)]
                )
    return (
        table(["set", "model", "kind", "detected", "false alarms (95 % of all)", "splits"], body)
        if body
        else "Not measured yet.\n"
    )


def ceiling_table(results: Path) -> str:
    path = results / "detection_ceilings.json"
    if not path.exists():
        return "Not measured yet.\n"
    rows = json.loads(path.read_text())["rows"]
    body = []
    for name in SETS:
        these = [row for row in rows if row["set"] == name]
        if these:
            cells = [told(np.array([row[key][end] for row in these])) for key in ("test", "all") for end in (0, 1)]
            body.append([name, *cells, len(these)])
    head = ["set", "test benign: found", "no more than", "all benign: found", "no more than", "splits"]
    return table(head, body)


def ablations(results: Path) -> str:
    path = results / "floors.json"
    if not path.exists():
        return "Not measured yet.\n"
    found = json.loads(path.read_text())
    rows = found["rows"] if isinstance(found, dict) else found
    body = []
    for key in dict.fromkeys((row["set"], row["floor"], row["adds"]) for row in rows):
        these = [row for row in rows if (row["set"], row["floor"], row["adds"]) == key]
        certified, alarms = (np.array([row[name] for row in these]) for name in ("certified", "false_alarms"))
        verdicts = ", ".join(sorted({row["verdict"] for row in these}))
        body.append([*key, told(certified), f"{100 * alarms.mean():.2f} %", verdicts, len(these)])
    return table(["set", "floor", "what it adds", "certified", "false alarms", "proof", "splits"], body)


def panels(found: Found) -> list[plot.Panel]:
    """What is drawn of each set."""
    made = []
    for name in SETS:
        if not models_of(found, name):
            continue
        peer, count = strongest_peer(found, name), len({seed for which, seed, _ in found if which == name})
        drawn = {style: peer[0] if style == plot.PEER and peer else style for style in plot.STYLES}
        lines = []
        for style, model in drawn.items():
            if rows := [found[name, seed, model] for seed in seeds_of(found, name, model)]:
                curve = np.mean([row["attacks"]["curve"] for row in rows], axis=0)
                within = mean(found, name, model, "false alarms") <= ALLOWED
                lines.append(plot.Line(style, curve, mean(found, name, model, "certified"), within))
        title = f"{name}, {count} split{'s' * (count > 1)}" + (f"\npeer: {peer[0]}" if peer else "")
        made.append(plot.Panel(title, lines))
    return made


def left_out(found: Found) -> str:
    """What deduplication did, on the split of the first seed."""
    body = []
    for name in SETS:
        keys = [key for key in found if key[0] == name]
        if not keys:
            continue
        row = found[min(keys, key=lambda key: (key[1], key[2]))]
        every, sides = (
            row["left_out"].get("all", {}),
            [row["left_out"][part] for part in ("train", "validation", "test")],
        )
        mixed = every.get("vectors with both labels", sum(side["vectors with both labels"] for side in sides))
        ties = every.get("vectors left out (tie)", 0) + sum(side["vectors left out (tie)"] for side in sides)
        repeats = sum(side["vectors left out (on an earlier side)"] for side in sides)
        rows = " / ".join(f"{all_:,} ({bad:,})" for all_, bad in row["rows"])
        body.append([name, SETS[name].said, rows, mixed, ties, repeats])
    head = [
        "set",
        "what",
        "rows (bad) train / validation / test",
        "vectors with both labels",
        "of them ties, left out",
        "left out: on an earlier side",
    ]
    return table(head, body)


def chosen(results: Path) -> tuple[Found, str]:
    """The full form where it has lines, else the quick one."""
    for file, form in (("detection.jsonl", "full"), ("detection_quick.jsonl", "quick")):
        found = records.measured(results / file)
        known = {key: row for key, row in found.items() if key[0] in SETS and key[2] in MODELS}
        if known:
            return known, form
    return {}, "full"


def summary(path: Path) -> str:
    found = with_unconstrained({k: v for k, v in records.measured(path).items() if k[0] in SETS and k[2] in MODELS})
    return "\n".join(f"\n{name}\n{set_table(found, name)}" for name in SETS if models_of(found, name))


def circumstances(found: Found, form: str) -> str:
    rows = list(found.values())
    commits = sorted({row["commit"][:12] + ("+" if "changes" in row["commit"] else "") for row in rows})
    hours = sum(row["core_s"] for row in rows) / 3600
    versions = ", ".join(
        f"{name} {version}"
        for name, version in rows[0]["versions"].items()
        if version and name in ("torch", "numpy", "scikit-learn", "lightgbm", "xgboost-cpu")
    )
    return (
        f"These are the figures of the **{form} form**, {len(rows)} judgements, {hours:.1f} hours of one core; "
        f"commits {', '.join(commits)} (+: with changes); {versions}."
    )


BEGIN, END = "<!-- written by benchmarks/detection.py: begin -->", "<!-- end -->"


def short_table(found: Found) -> str:
    """For the README: in percent, with a dagger where the false alarms are above the target."""

    def cell(name: str, model: str, figure: str) -> str:
        if not seeds_of(found, name, model):
            return "-"
        mark = "†" * (mean(found, name, model, "false alarms") > ALLOWED)
        return f"{100 * mean(found, name, model, figure):.1f}{mark}"

    body = []
    for name in SETS:
        if models_of(found, name):
            peer = strongest_peer(found, name)
            shown = [(UNCONSTRAINED, "detection"), (UNCONSTRAINED, "attacked"), (peer[0] if peer else "", "certified")]
            shown += [("Detector, floor alone", "certified"), ("Detector", "detection"), ("Detector", "certified")]
            body.append([f"{name}: {SETS[name].said.split(', all')[0]}", *(cell(name, *each) for each in shown)])
    head = [
        "detected, %",
        "unconstrained",
        "attacked",
        "strongest monotone peer",
        "floor alone",
        "`Detector`",
        "of it certified",
    ]
    return table(head, body)


def write_short(found: Found, page: Path) -> None:
    """The table between the README's markers, where there is such a page."""
    if page.exists() and BEGIN in (text := page.read_text()):
        before, rest = text.split(BEGIN)
        page.write_text(f"{before}{BEGIN}\n\n{short_table(found)}\n{END}{rest.split(END, 1)[1]}")


def write(results: Path, docs: Path) -> Path:
    """docs/detection.md and docs/detection.png, and the README's table."""
    measured, form = chosen(results)
    found, spent = with_unconstrained(measured), FULL if form == "full" else SHORT
    total = totals(found)
    victims = max(int(row.victims * spent.victims) for row in SETS.values())
    most = max((len({key[1] for key in measured if key[0] == name}) for name in SETS), default=0)
    parts = [
        INTRODUCTION.format(seeds=most, settings=spent.settings, few=", ".join(FEW_ATTACKS), victims=victims),
        circumstances(measured, form),
        "\n![Security curves: what is detected after so many additions, set by set](detection.png)\n",
        "The best monotone peer is the one that certifies most on the test rows, after the fact; the tables have all models. "
        "Differences are means over splits with plain standard errors, which are too small, as splits overlap.\n",
        "## Targets\n",
        targets(found),
        "## What no addition undoes\n",
        f"{total['alarms']:,} certified alarms of monotone models, floors and `Detector` were attacked in {total['records']} judgements: "
        f"**{total['undone']} were undone**. Judgements whose certified share is above the empirical one: {total['above empirical']}.\n",
        attack_table(found),
        control_table(found),
        "An attack that evades no more than half of the free models' alarms shows nothing where it fails.\n",
        "## Each set\n",
        *(f"### {name}\n\n{SETS[name].said}.\n\n{set_table(found, name)}" for name in SETS if models_of(found, name)),
        "## Thresholds by folds\n",
        folded(results),
        "## What the floor costs\n",
        "The same two lanes with other shares of the false-alarm budget: the split is chosen on validation rows, as the one with\n"
        "the highest certified detection that loses no more clean detection there than allowed; the figures are of test rows.\n",
        trade_table(found),
        "## PDF with a threshold of its own\n",
        "Contagio's benign files are old and alike, and a threshold set on them lets more or fewer of Google's through. Here it is\n"
        f"set at {100 * RATE:.0f} % on that half of Google's benign files which no test row comes from, as `isotone calibrate` does.\n",
        fresh_table(found),
        "## Reasons\n",
        "For certified alarms an irreducible set of facts that alone keep the alarm; each with 1,000 random supersets, and the\n"
        "attacks started from the facts alone.\n",
        reason_table(found),
        "## How much these features can support\n",
        "`isotone headroom`: certified detection of the test's bad rows at 1 % false alarms that the best choice of benign rows to\n"
        "give up would have, knowing the rows; with the benign rows of the test part, and with all of the set's. On the rows\n"
        "counted no detector certifies more, and to come near, one would have to know them.\n",
        ceiling_table(results),
        "## Ablations of the floors\n",
        ablations(results),
        "## Rows\n",
        left_out(found),
        *analysis(docs),
    ]
    path = docs / "detection.md"
    plot.draw(panels(found), docs / "detection.png")
    path.write_text("\n".join(parts))
    write_short(found, docs.parent / "README.md")
    return path


FOLDED = """Where a detector is given no rows for thresholds, it learns from all rows and sets its thresholds by folds of them. Here
this is done for all models alike, with the rows of train and validation: each of five folds is scored by a fit to the
others, all scores together set the threshold, and what is judged is fitted to all (`python benchmarks/detection.py --folds`).
Settings and the rounds of boosters are those chosen above; networks of peers keep a tenth of what they are given to stop
by. Programs of a package are in one fold. Attacks are the four that run on every split.
"""


def folded(results: Path) -> str:
    """The same tables with thresholds by folds."""
    found = records.measured(results / "detection_folds.jsonl")
    if not found:
        return "Not measured yet.\n"
    made, total = with_unconstrained(found), totals(found)
    parts = [
        FOLDED,
        f"{circumstances(found, 'folds')[:-1]}. Of {total['alarms']:,} certified alarms that were attacked **{total['undone']} were undone**.\n",
        targets(made),
        *(f"### {name}, by folds\n\n{set_table(made, name)}" for name in SETS if models_of(made, name)),
        "### What the floor costs, by folds\n",
        trade_table(made),
    ]
    return "\n".join(parts)


def analysis(docs: Path) -> list[str]:
    """What a person wrote about the figures: benchmarks/_detection/analysis.md, if it is there."""
    path = Path(__file__).parent / "analysis.md"
    return [path.read_text()] if path.exists() else []
