"""`audit`: is this fitted model monotone? A search for any function of rows, and a proof where trees allow one.

- REFUTED only with a pair of rows that was scored again, alone, in both orders;
- PROVED only by the proof from the trees (`isotone.auditing.trees`); a search that finds nothing proves nothing;
- the same model, rows and seed give the same answer, unless the clock cuts the search short: then it says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import BadInput
from ..progress import Progress
from ..verdict import Verdict
from ._chains import Scorer
from ._confirm import Confirm
from ._kinds import rows_of
from ._probes import MISSING, missing_place, unrest, unsteady, zeros
from ._proof import Proof, from_trees, seeds
from ._result import Audit, FeatureFinding, RowWitness
from ._rows import Rows
from ._score import Output, Score, score_of
from ._search import Search
from ._values import Feature, bounds_of, directions_of, features_of

MOST_BASES = 5000


def audit(
    predict: Any,
    X: Any,
    directions: Any,
    *,
    output: Output = None,
    domain: Any = None,
    budget_seconds: float = 30.0,
    seed: int = 0,
    sparse: bool | str = "auto",
    missing: str = "auto",
    progress: Progress | None = None,
) -> Audit:
    """Is this fitted model monotone? Look for two rows that differ only along the directions and whose score falls.

    Args:
        predict: a function from rows to scores; or a fitted estimator (its `predict_proba`, else `decision_function`,
            else `predict` is read, of a binary classifier the column of the positive class); or an XGBoost or LightGBM
            Booster, a torch module (judged in the mode in which it is), an onnxruntime session, the path of an .onnx
            file.
        X: rows to start from, as the model takes them: a pandas DataFrame, an array of shape (rows, features), a scipy
            sparse matrix, a list of dicts. At least one row; some hundred are better; up to 5,000 are used. In sparse
            rows an absent entry is the number 0, and in dicts an absent key is.
        directions: +1 (increasing), -1 (decreasing) or 0 (free) for all, or one per feature, or a mapping from names
            and globs to them or to the words "increasing" and "decreasing"; what is not named is free.
        output: which column of several is the score: its number, or its name (a class, a column).
        domain: the inputs that the claim is about: a mapping from names and globs to (low, high), or (low, high) for
            all, or an `isotone.Domain`. None: every value a column can hold; the search then looks at what was observed
            and only afterwards a little beyond.
        budget_seconds: no further call of the model is begun after so many seconds, those of a proof from trees apart.
        seed: of all that is drawn.
        sparse: whether absent, stored zero and dense zero are compared: True, False, or "auto" (sparse rows, and arrays
            in which three cells of ten are 0). What differs is a note, not a refutation.
        missing: "auto": a missing value lies outside the order, and it is reported where it scores, for features that
            have some in X; "outside": the same, asked for every feature; "lowest" or "highest": a missing value counts
            as below, or above, all others, and a pair that contradicts that is a witness.
        progress: where to show how far it is.

    Returns:
        An `Audit`: `verdict`, `reason`, `witness`, `features`, `exit_code`; `print` it, or `to_json`, `to_html`,
        `to_frame`.

    Raises:
        BadInput: an X, a domain or directions of another form; a model that fails on the first rows of X; several
            columns of scores and no `output`.
        NoMatch: a name that is no feature or column.

    Cost: up to a million rows scored in calls of thousands, within `budget_seconds`; a proof from trees comes on top,
        seconds for 1,000 trees of 64 leaves, more for trees of thousands of leaves.

    A fall counts only above 8 roundings of the largest score in the call (or 8 times what the score moves by when its
    inputs move by one rounding, if that is more); smaller ones are reported as rounding.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(size=(200, 2))
    >>> found = audit(lambda x: x[:, 0] - (x[:, 1] - 0.5) ** 2, X, [+1, +1])
    >>> found.verdict, found.witness.changes[0].feature, found.exit_code
    (<Verdict.REFUTED: 'refuted'>, 'x1', 1)
    """
    began = time.monotonic()
    if missing not in MISSING:
        raise BadInput("missing", f"{missing!r} came", f"one of {', '.join(MISSING)} would be right")
    if sparse not in (True, False, "auto"):
        raise BadInput("sparse", f"{sparse!r} came", "True, False or 'auto' would be right")
    rows = rows_of(X)
    ways = directions_of(directions, rows)
    random = np.random.default_rng(seed)
    drawn = random.permutation(rows.count)
    drawn = drawn[_inside(rows, domain)[drawn]][:MOST_BASES]
    if not drawn.size:
        raise BadInput("X", "no row lies in the domain", "some rows inside it would be right", "Widen domain=.")
    score = score_of(predict, rows.build(drawn[:64]), output)
    scorer = Scorer(rows, score, began + budget_seconds)
    # First whether the same call has the same answer; else chance would pass for rounding.
    wavering = unsteady(scorer, drawn, batches=False)
    if wavering is None:
        scorer.unrest = unrest(scorer, drawn, random)
        wavering = unsteady(scorer, drawn, batches=True)
    started = time.monotonic()
    proof = from_trees(predict, scorer, drawn, ways, domain=domain, missing=missing)
    scorer.deadline += time.monotonic() - started  # the proof comes on top: the search keeps its time
    features = features_of(rows, ways, domain, drawn, proof.thresholds)
    search = Search(scorer, features, drawn, random)
    if wavering is not None:
        reason = (
            "nothing can be claimed: the score of a row depends on more than the row. "
            f"{str(wavering)[0].upper()}{str(wavering)[1:]}."
        )
        findings = tuple(FeatureFinding(f.name, f.direction, 0, 0, None, None, None) for f in features)
        scope = _scope(score, scorer, features, domain=domain, missing=missing, seed=seed)
        return Audit(Verdict.UNKNOWN, reason, None, None, findings, (), scope)

    notes = zeros(scorer, score.call, drawn, sparse)
    suggested = seeds(proof, scorer)
    stages: list[tuple[str, Callable[[], None]]] = [
        ("pairs from the trees", lambda: search.judge(suggested)),
        # After a proof the model is asked for a short while only, in case the proof is wrong.
        *(search.stages(1) if proof.proved else search.stages()),
    ]
    bar = (progress or Progress(shown=False)).bar("audit", len(stages) + 1)
    for done, (name, stage) in enumerate(stages):
        bar.update(done, name)
        if not scorer.over:
            stage()
    bar.update(len(stages), "missing values")
    places = {f.place: missing_place(search, f, missing) for f in features}

    confirm = Confirm(search)
    singles = {f.place: confirm.strongest(f) for f in features}
    witness = max((w for w in singles.values() if w), key=_rank, default=None)
    together = confirm.joint(witness)
    if witness is None:
        witness, together = together, None
    findings = tuple(_finding(f, search, singles[f.place], places[f.place], proof) for f in features)
    notes += confirm.notes + _remarks(scorer, proof, witness)
    bar.finish(f"{scorer.scored:,} rows scored")
    verdict, reason = _judged(witness, proof, scorer, findings)
    return Audit(
        verdict, reason, witness, together, findings, tuple(notes),
        _scope(score, scorer, features, domain=domain, missing=missing, seed=seed),
        proof.assumptions if verdict is Verdict.PROVED else (),
    )  # fmt: skip


def _rank(witness: RowWitness) -> tuple[bool, float]:
    """A pair among observed values says more than one outside of them."""
    return witness.observed, witness.drop


def _inside(rows: Rows, domain: Any) -> Any:
    """Which rows of the data lie in the domain; a missing value does."""
    lows, highs, named = bounds_of(domain, rows)
    inside = np.ones(rows.count, dtype=np.bool_)
    for j in np.flatnonzero(named):
        codes = rows.codes(int(j))
        if codes is not None:
            inside &= ~((codes < lows[j]) | (codes > highs[j]))
    return inside


def _finding(
    feature: Feature, search: Search, witness: RowWitness | None, missing: Any, proof: Proof
) -> FeatureFinding:
    tally, outside = search.single[feature.place], search.outside[feature.place]
    count = tally.comparisons + outside.comparisons
    note = ""
    if not count:
        note = "constant in the data: nothing to compare" if feature.unique.size < 2 else "not reached in the time"
    elif feature.unique.size < 2 and not feature.bounded:
        note = "constant in the data: compared with values outside of it only"
    return FeatureFinding(
        feature.name, feature.direction, count, tally.falls + outside.falls, witness, missing,
        proof.features.get(feature.place, proof.proved if proof.tried else None), note,
    )  # fmt: skip


def _judged(witness: Any, proof: Proof, scorer: Scorer, findings: tuple[FeatureFinding, ...]) -> tuple[Verdict, str]:
    compared = sum(f.comparisons for f in findings)
    if witness is not None:
        fallen = [f for f in findings if f.witness is not None]
        many = f"{len(fallen)} of {len(findings)} features" if len(findings) > 1 else findings[0].name
        return Verdict.REFUTED, f"the score falls along {many if fallen else 'several features together'}."
    if proof.proved and not scorer.not_numbers:
        return Verdict.PROVED, proof.reason
    short = "; the time was up before the plan was done" if scorer.cut else ""
    why = f" {proof.reason}" if proof.reason and not proof.proved else ""
    return Verdict.UNKNOWN, (
        f"no pair found in {compared:,} comparisons along single features and {scorer.scored:,} rows scored{short}. "
        f"That is no proof.{why}"
    )


def _remarks(scorer: Scorer, proof: Proof, witness: RowWitness | None) -> list[str]:
    said = []
    if proof.proved and witness is not None:
        said.append("the proof from the trees says otherwise; the pair was scored by the model: please report this")
    if scorer.noise_seen:
        said.append(f"falls of up to {scorer.noise_seen:.2g} are within rounding and do not count")
    if scorer.not_numbers:
        said.append(f"the score was not a number in {scorer.not_numbers:,} of {scorer.scored:,} rows")
    for text, count in list(scorer.refusals.items())[:3]:
        said.append(f"the model refused {count:,} rows: {text}")
    if scorer.cut:
        said.append("the time was up before the whole plan was done; budget_seconds= gives it more")
    return said


def _scope(
    score: Score, scorer: Scorer, features: list[Feature], *, domain: Any, missing: str, seed: int
) -> dict[str, Any]:
    rows = scorer.rows
    up = [f.name for f in features if f.direction > 0]
    down = [f.name for f in features if f.direction < 0]
    seen = "all values a column can hold; searched: what was observed, then a little beyond"
    return {
        "score": score.said,
        "rows": f"{rows.count:,} x {len(rows.names):,} ({rows.kind}), rows counted from 0",
        "increasing": _listed(up),
        "decreasing": _listed(down),
        "domain": seen if domain is None else f"as given: {domain}",
        "missing": {"auto": "outside of the order", "outside": "outside of the order"}.get(
            missing, f"the {missing} value"
        ),
        "noise": f"8 roundings ({8 * score.precision:.1e}) of the largest score in a call"
        + (f", or {8 * scorer.unrest:.1e}" if scorer.unrest else ""),
        "search": f"{scorer.scored:,} rows in {scorer.calls:,} calls, seed {seed}",
    }


def _listed(names: list[str]) -> str:
    return (", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")) or "none"
