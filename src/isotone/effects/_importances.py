"""How much a score depends on each feature, with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require
from ._ink import BLUE, INK, axes
from ._rows import as_rows, cells, names_of, put, score_of, scores, take

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 30


@dataclass(frozen=True, eq=False)
class Importances:
    """Of each feature its importance and the spread of it, shape (d,) each, and what the numbers are."""

    names: tuple[str, ...]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    what: str

    def order(self) -> list[int]:
        """Features, the most important first."""
        return np.argsort(-self.mean, kind="stable").tolist()  # type: ignore[no-any-return]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        rows = zip(self.names, self.mean.tolist(), self.spread.tolist(), strict=True)
        return {"what": self.what, "features": [{"name": n, "mean": m, "spread": s} for n, m, s in rows]}

    def __str__(self) -> str:
        shown = self.order()[:SHOWN]
        wide = min(40, max([len(self.names[j]) for j in shown] + [7]))
        lines = [self.what, f"  {'feature':<{wide}}  {'importance':>10}  {'spread':>9}"]
        for j in shown:
            lines.append(f"  {self.names[j][:wide]:<{wide}}  {self.mean[j]:>10.4g}  {self.spread[j]:>9.2g}")
        if len(self.names) > len(shown):
            lines.append(f"  ... and {len(self.names) - len(shown)} more features")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "<tr><th>feature</th><th>importance</th><th>spread</th></tr>"
        rows = "".join(
            f"<tr><td>{escape(self.names[j])}</td><td>{self.mean[j]:.4g}</td><td>{self.spread[j]:.2g}</td></tr>"
            for j in self.order()[:SHOWN]
        )
        return f"<p>{escape(self.what)}</p><table>{head}{rows}</table>"

    def plot(self, ax: Axes | None = None, most: int = 15) -> Axes:
        """Bars, the most important on top, with lines of one spread to each side."""
        shown = self.order()[:most]
        ax = axes(ax, 6.4, 0.8 + 0.32 * len(shown))
        place = -np.arange(len(shown))
        ax.barh(place, self.mean[shown], xerr=self.spread[shown], height=0.62, color=BLUE, ecolor=INK)
        ax.set_yticks(place, [self.names[j] for j in shown])
        ax.axvline(0.0, color=INK, linewidth=0.8)
        ax.set_title(self.what, fontsize="medium", loc="left")
        return ax


def importances(
    model: Any,
    X: Any,
    y: Any,
    *,
    scoring: Any = None,
    repeats: int = 10,
    names: Sequence[str] | None = None,
    sample_weight: Any = None,
    seed: int = 0,
) -> Importances:
    """Fall of a measure of quality when the values of one feature are shuffled among the rows.

    Ask with rows that the model was not fitted on; on its training rows it tells what the model leans on, not what it
    gains. Features that stand for each other share their importance, or each seems to have none.

    Args:
        model: a fitted estimator, or a function of rows that gives one number each.
        X: shape (n, d), an array or a DataFrame.
        y: shape (n,).
        scoring: as in scikit-learn, for an estimator; or a function of (y, scores) where higher is better. None is ROC
            AUC of the score where y has two values, else R2.
        repeats: shuffles per feature; the spread is the standard deviation over them.
        names: of the columns of an array.
        sample_weight: shape (n,).
        seed: of the shuffles.

    Cost: `repeats` * d predictions of X.
    Source: Breiman, "Random Forests" (Machine Learning 45, 2001), section 10; scikit-learn's `permutation_importance`.

    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> found = isotone.effects.importances(lambda X: X[:, 1], X, X[:, 1] > 0)
    >>> found.mean.round(1)
    array([0. , 0.5])
    """
    X = as_rows(X)
    names = names_of(X, names)
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    extra = {} if weight is None else {"sample_weight": weight}
    y = np.asarray(y)
    if len(y) != len(X):
        raise BadInput("importances", f"{len(y)} values of y came for {len(X)} rows", "one per row would be right")
    if isinstance(scoring, str) or (scoring is not None and hasattr(scoring, "_score_func")):
        scorer = require("sklearn.metrics", "tables").get_scorer(scoring)

        def measure(rows: Any) -> float:
            return float(scorer(model, rows, y, **extra))

        what = scoring if isinstance(scoring, str) else "the score"
    else:
        ask, (judge, what) = score_of(model), _judge(y, scoring)

        def measure(rows: Any) -> float:
            return float(judge(y, scores(ask, rows), **extra))

    generator, before = np.random.default_rng(seed), measure(X)
    falls = np.empty((len(names), repeats))
    for j in range(len(names)):
        for k in range(repeats):
            shuffled = take(X, generator.permutation(len(X)))
            falls[j, k] = before - measure(put(X, j, cells(shuffled, j)))
    said = f"fall of {what} ({before:.4g}) when the feature is shuffled, {repeats} times"
    return Importances(tuple(names), falls.mean(1), falls.std(1, ddof=1 if repeats > 1 else 0), said)


def _judge(y: NDArray[Any], scoring: Any) -> tuple[Any, str]:
    """A function of (y, scores), and its name."""
    metrics = require("sklearn.metrics", "tables")
    if scoring is not None:
        return scoring, getattr(scoring, "__name__", "the measure")
    if len(np.unique(y)) == 2:
        return metrics.roc_auc_score, "ROC AUC"
    return metrics.r2_score, "R2"
