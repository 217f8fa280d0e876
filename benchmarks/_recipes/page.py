"""docs/recipes.md and its plot, from the results alone: what stands between the markers is written here."""

import numpy as np

from .factors import FACTORS

BEGIN, END = "<!-- written by benchmarks/recipes.py: begin -->", "<!-- end -->"
SAID = {
    "way": "Way to force the weights",
    "optimizer": "Optimizer",
    "activation": "Activation",
    "depth": "Hidden layers",
    "decay": "Weight decay",
    "rate": "Learning rate (of Adam; SGD takes 30 times, momentum SGD 3 times as much)",
    "loss": "Loss",
    "inputs": "Inputs",
}


def _table(cells, factor, value):
    """(sets, levels)."""
    names = list(dict.fromkeys(c["set"] for c in cells))
    found = {(c["set"], c["level"]): value(c) for c in cells if c["factor"] == factor}
    return np.array([[found[name, level] for level in FACTORS[factor]] for name in names], dtype=float)


def _validation(c):
    return c["validation"]


def _mean(c, side):
    return np.mean([s[side] for s in c["seeds"]])


def _test(c):
    return _mean(c, "test")


def _spread(c):
    return np.std([s["test"] for s in c["seeds"]])


def _above(table):
    """Points of AUC above the factor's median level on the same set."""
    return 100 * (table - np.median(table, axis=1, keepdims=True))


def winner(cells, factor):
    """The level that is best by validation: in the median over the sets, then in the mean."""
    above = _above(_table(cells, factor, _validation))
    order = [(np.median(column), column.mean()) for column in above.T]
    return FACTORS[factor][max(range(len(order)), key=order.__getitem__)]


def _lines(cells, factor, trials):
    validation, test = (_above(_table(cells, factor, value)) for value in (_validation, _test))
    spread, took = _table(cells, factor, _spread), _table(cells, factor, lambda c: c["seconds"])
    lost = _table(cells, factor, lambda c: c["collapsed"])
    failed = _table(cells, factor, lambda c: sum(s["collapsed"] for s in c["seeds"]))
    best = FACTORS[factor].index(winner(cells, factor))
    yield f"### {SAID[factor]}"
    yield ""
    yield (
        "| level | validation | test | lowest, highest set | first in | seeds | collapsed trials | collapsed finals "
        "| seconds |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    first = np.bincount(validation.argmax(axis=1), minlength=len(FACTORS[factor]))
    for at, level in enumerate(FACTORS[factor]):
        shown = f"**{level}**" if at == best else f"{level}"
        of_sets = test[:, at]
        yield (
            f"| {shown} | {np.median(validation[:, at]):+.2f} | {np.median(of_sets):+.2f} | {of_sets.min():+.2f}, "
            f"{of_sets.max():+.2f} | {first[at]} of {len(test)} | {100 * np.median(spread[:, at]):.2f} "
            f"| {int(lost[:, at].sum())} of {trials * len(test)} | {int(failed[:, at].sum())} "
            f"| {np.median(took[:, at]):.2f} |"
        )
    yield ""


def setting_words(setting):
    words = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in setting.items()
    ]
    return ", ".join(word for word in words if setting["decay"] == "on" or not word.startswith("amount"))


def text(found):
    """The generated part."""
    cells, said, recipe = found["cells"], found["about"], found["recipe"]
    form = said["form"]
    sets = ", ".join(f"{n} ({s['rows'][0]} training rows x {s['features']})" for n, s in said["sets"].items())
    versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
    verdicts = [c["verdict"] for c in cells if "verdict" in c]
    proved = verdicts + [r["verdict"] for part in (recipe, recipe["house"]) for r in part["sets"].values()]
    low = min(c["lowest weight"] for c in cells)
    lines = [
        BEGIN,
        "",
        f"`{said['command']}` ({versions}): {len(cells)} searches of {form['trials']} trials, {form['epochs']} epochs "
        f"each, and {form['seeds']} further fits of each winner. Sets: {sets}.",
        f"Lowest weight that must not be negative, of all final networks: {low:g}. `certify`: "
        f"{proved.count('PROVED')} of {len(proved)} PROVED.",
        "",
        "Figures are points of AUC (0.01 each) above the factor's median level on the same set: the median over the "
        "sets, and for test rows the lowest and highest set. *first in*: sets in which the level was best on "
        "validation rows. *seeds*: median standard deviation over seeds. *seconds*: median of one fit. Bold: the level "
        "that won by validation rows.",
        "",
    ]
    for factor in FACTORS:
        lines += _lines(cells, factor, form["trials"])
    lines += [
        "![Test AUC of each level beside the factor's median level, a dot for each data set](recipes.png)",
        "",
        "### One recipe for all",
        "",
    ]
    lines += ["Chosen on validation rows from the best of all searches, each tried on every set:", ""]
    lines += [f"> {setting_words(recipe['setting'])}", ""]
    lines += [f"Of the library's own parts, chosen likewise: {setting_words(recipe['house']['setting'])}.", ""]
    lines += [f"Baseline, not tuned: {setting_words(recipe['baseline']['setting'])}.", ""]
    lines += [
        "| set | baseline | the library's parts | the recipe | the set's own best search |",
        "|---|---|---|---|---|",
    ]
    for name in said["sets"]:
        own = max((c for c in cells if c["set"] == name), key=_validation)
        shown = [*(recipe[part]["sets"][name] for part in ("baseline", "house")), recipe["sets"][name], own]
        lines.append(f"| {name} | " + " | ".join(f"{_test(c):.4f} ± {_spread(c):.4f}" for c in shown) + " |")
    house = recipe["house"]
    lines += ["", "### Around the library's parts", ""]
    lines += [
        "One level changed, nothing searched, the same seeds: AUC in points above the setting of the library's parts.",
        "",
    ]
    lines += ["| changed | validation | test | lowest, highest set | collapsed |", "|---|---|---|---|---|"]
    for one in found["around"]:
        if house["setting"][one["factor"]] != one["level"]:
            validation, change = (
                np.array([100 * (_mean(one["sets"][n], side) - _mean(house["sets"][n], side)) for n in said["sets"]])
                for side in ("validation", "test")
            )
            lost = sum(s["collapsed"] for n in said["sets"] for s in one["sets"][n]["seeds"])
            lines.append(
                f"| {one['factor']}: {one['level']} | {np.median(validation):+.2f} | {np.median(change):+.2f} "
                f"| {change.min():+.2f}, {change.max():+.2f} | {lost} of {form['seeds'] * len(change)} |"
            )
    return "\n".join([*lines, "", END])


def plot(found, place):
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    cells = found["cells"]
    figure, axes = plt.subplots(2, 4, figsize=(13, 6.4), sharex=True, constrained_layout=True)
    ticks = (-50, -10, -1, 0, 1, 10)
    for axis, factor in zip(axes.flat, FACTORS, strict=True):
        above = _above(_table(cells, factor, _test))
        aside = np.linspace(-0.22, 0.22, len(above))
        for at in range(above.shape[1]):
            axis.plot(above[:, at], at + aside, "o", color="#1f77b4", alpha=0.6, markersize=4.5)
            axis.vlines(np.median(above[:, at]), at - 0.36, at + 0.36, color="black", linewidth=2.5)
        axis.axvline(0, color="grey", linewidth=0.7)
        axis.set_xscale("symlog", linthresh=1, linscale=1)
        axis.set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
        axis.set_xticks([], minor=True)
        axis.set_xlim(-130, 60)
        axis.set_yticks(range(above.shape[1]), [str(level) for level in FACTORS[factor]])
        axis.set_ylim(above.shape[1] - 0.5, -0.5)
        axis.tick_params(labelbottom=True)
        axis.grid(axis="x", alpha=0.25)
        axis.set_title(SAID[factor].split(" (")[0])
    figure.supxlabel(
        "test AUC in points above (right) or below (left) the factor's median level on the same set; a dot for each\n"
        "set, a bar at their median; the scale is even between -1 and +1 and logarithmic beyond"
    )
    figure.savefig(place, dpi=110, metadata={"Software": None})
    plt.close(figure)


def write(found, docs):
    """Replace the part between the markers, and the plot."""
    page = docs / "recipes.md"
    before = page.read_text() if page.exists() else f"# Recipes\n\n{BEGIN}\n{END}\n"
    head, _, rest = before.partition(BEGIN)
    page.write_text(head + text(found) + rest.partition(END)[2])
    plot(found, docs / "recipes.png")
    return page
