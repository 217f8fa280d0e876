"""The question as a table: what is varied, and how the effect of one level is told from that of the rest.

For each level of each factor the same number of trials is searched with that level held and all else free, so every
level is judged by what it can do with equal effort, and not by what suits another level's settings.
"""

import numpy as np

import isotone
from isotone.tuning import Choice, Range, search

from . import nets

# fmt: off
FACTORS = {
    "way":        (*("projection",), *nets.MAPS),
    "optimizer":  tuple(nets.OPTIMIZERS),
    "activation": tuple(nets.ACTIVATIONS),
    "depth":      (1, 2, 4, 8),
    "decay":      ("off", "on"),
    "rate":       (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "loss":       ("BCE", "BCE, pos_weight", "focal", "squared"),
    "inputs":     ("standardised", "ramps"),
}
# fmt: on
SPACE = {
    **{name: Choice(levels) for name, levels in FACTORS.items() if name != "rate"},
    "rate": Range(1e-3, 1e-1, log=True),
    "amount": Range(1e-4, 1e-2, log=True),  # of weight decay, where it is on
}
CELLS = [(factor, level) for factor, levels in FACTORS.items() for level in levels]


def cell(found, factor, level, form, prove):
    """Search with one level held, on validation rows; then train the winner again and open the test rows."""
    tried = []

    def evaluate(setting):
        _, said = nets.outcome({**setting, factor: level}, found, 0, form["epochs"])
        tried.append(said)
        return said["validation"]

    # The same seed for all levels of a factor: what is drawn at random is drawn alike for all of them.
    space = {name: part for name, part in SPACE.items() if name != factor}
    best = search(evaluate, space, trials=form["trials"], seed=list(FACTORS).index(factor))
    setting = {**best.setting, factor: level}
    record = {
        "set": found.name,
        "factor": factor,
        "level": level,
        "setting": setting,
        "validation": round(best.value, 5),
        "trials": [said["validation"] for said in tried],
        "collapsed": sum(said["collapsed"] for said in tried),
        "seconds": round(float(np.median([said["seconds"] for said in tried])), 3),
    }
    return {**record, **finals(setting, found, form, prove=prove)}


def finals(setting, found, form, *, prove=False):
    """Figures of a fixed setting for each seed; what is trained must be inside, and is proved where it is asked for."""
    rows, low = [], np.inf
    for seed in range(1, form["seeds"] + 1):
        model, said = nets.outcome(setting, found, seed, form["epochs"], ("validation", "test"))
        directions = found.directions[setting["inputs"]]
        low = min(low, nets.lowest(model, directions))
        rows.append(said)
    result = {"seeds": rows, "lowest weight": low}
    if prove:
        example = found.test.inputs[setting["inputs"]][:2]
        result["verdict"] = isotone.certify(nets.plain(model), example, directions=directions).verdict.name
    return result
