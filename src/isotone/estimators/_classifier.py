"""Classes along directions: one logit per class that is asked about, each of which rises and falls as told."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, column_or_1d

from ..errors import BadInput
from ..evaluation import platt
from ._base import Floats, MonotoneEstimator, rows_of
from ._losses import log_loss


class MonotoneClassifier(ClassifierMixin, MonotoneEstimator):  # type: ignore[misc]
    """A monotone network that predicts classes.

    Two classes: the probability of the second, `classes_[1]`, moves along the directions. More than two: one logit per
    class against the rest; each logit (`decision_function`) moves along the directions. `predict_proba` divides their
    sigmoids by the sum, which is NOT monotone: a class that rises lowers the others. Labels of a matrix of 0 and 1 are
    independent: every probability is monotone. With `ordinal=True` the classes, in sorted order, are levels: the score
    and with it every P(y > class) moves along the directions.

    Args:
        class_weight: None, "balanced", or a dict from class to weight.
        calibration: "auto": where rows are held out, logits are scaled by a positive factor and shifted so that their
            probabilities fit there (Platt 1999; the order stays); None: never.
        ordinal: whether the classes are levels (cumulative link, McCullagh 1980, as independent sigmoids whose
            probabilities are sorted). More than two are numbers, or words of an ordered pandas Categorical whose order
            is that of the alphabet: what is sorted is what is learnt.
        monotonic_cst, hidden, embedding, stretches, members, learning_rate, weight_decay, epochs, batch_size, teacher,
        dropout, early_stopping, validation_fraction, n_iter_no_change, missing, categorical_features, category_orders,
        warm_start, random_state, device, verbose: as in `MonotoneRegressor`.

    Attributes: `classes_`, `network_`, `encoder_`, `history_`, `n_iter_`, `size_`, `n_features_in_`.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((200, 2))
    >>> model = isotone.MonotoneClassifier(monotonic_cst=[1, 0], random_state=0).fit(X, X[:, 0] > 0.5)
    >>> p = model.predict_proba([[0.1, 0.5], [0.9, 0.5]])[:, 1]
    >>> bool(p[0] < 0.2), bool(p[1] > 0.8)
    (True, True)
    """

    def __init__(
        self,
        monotonic_cst: Any = None,
        *,
        hidden: Any = "auto",
        embedding: Any = "auto",
        stretches: Any = "auto",
        members: Any = "auto",
        learning_rate: float = 1e-2,
        weight_decay: Any = "auto",
        epochs: Any = "auto",
        batch_size: int = 256,
        teacher: Any = "auto",
        dropout: float = 0.0,
        early_stopping: Any = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        class_weight: Any = None,
        calibration: Any = "auto",
        ordinal: bool = False,
        missing: Any = "lowest",
        categorical_features: Any = "from_dtype",
        category_orders: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "auto",
        verbose: int = 0,
    ) -> None:
        self.monotonic_cst = monotonic_cst
        self.hidden = hidden
        self.embedding = embedding
        self.stretches = stretches
        self.members = members
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.teacher = teacher
        self.dropout = dropout
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.calibration = calibration
        self.ordinal = ordinal
        self.missing = missing
        self.categorical_features = categorical_features
        self.category_orders = category_orders
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = False
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to rows X and classes y: (rows,), or (rows, labels) of 0 and 1 for independent labels.

        Raises:
            BadInput: a setting, a direction, or a label that does not fit.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        again = self.warm_start and hasattr(self, "network_")
        X = self._table(X, reset=not again)
        self.multilabel_ = type_of_target(y, input_name="y") == "multilabel-indicator"
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        if self.multilabel_:
            if self.class_weight is not None:
                raise BadInput("class_weight", "it came with several labels", "None is right", "Give sample_weight.")
            target = np.asarray(y.toarray() if hasattr(y, "toarray") else y, dtype=np.float64)
            check_consistent_length(X, target)
            self.classes_ = np.arange(target.shape[1])
            self._single = None
            return self._calibrated(X, target, weight, None)
        levels = _levels(y)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        check_consistent_length(X, y)
        used = np.ones(len(y), dtype=bool) if weight is None else weight > 0
        if not used.any():
            raise BadInput("sample_weight", "no row has a weight above 0", "at least one row must count")
        classes = np.unique(y[used])
        if self.ordinal and len(classes) > 2:
            _refuse_without_order(classes, levels)
        if again and not np.array_equal(classes, self.classes_):
            raise BadInput("warm_start", f"classes {classes.tolist()[:5]} came", "those of the first fit are right")
        self.classes_ = classes
        X, y = rows_of(X, used), y[used]
        weight = None if weight is None else weight[used]
        code = np.searchsorted(classes, y)
        self._single = 0 if len(classes) == 1 else None
        if self.class_weight is not None:
            balance = compute_sample_weight(self.class_weight, y)
            if not (balance >= 0).all():
                raise BadInput("class_weight", f"{self.class_weight!r} came", "weights of at least 0 are right")
            weight = balance if weight is None else weight * balance
        if self.ordinal and len(classes) > 2:
            target = (code[:, None] > np.arange(len(classes) - 1)).astype(np.float64)
        elif len(classes) <= 2:
            target = (code[:, None] == 1).astype(np.float64)
        else:
            target = (code[:, None] == np.arange(len(classes))).astype(np.float64)
        return self._calibrated(X, target, weight, code)

    def _calibrated(self, X: Any, target: Floats, weight: Any, code: Any) -> Self:
        """Fit, and scale the logits on the rows held out."""
        if self.calibration not in ("auto", None):
            raise BadInput("calibration", f"{self.calibration!r} came", "'auto' or None is right")
        self._fit(X, target, weight, log_loss, code)
        self._slope, self._shift = np.ones(target.shape[1]), np.zeros(target.shape[1])
        if self.calibration == "auto" and self._held is not None:
            z, *held = self._held
            logits = self.network_(z).detach().double().cpu().numpy()
            y, counts = (part.double().cpu().numpy() for part in held)
            for k in range(target.shape[1]):
                self._slope[k], self._shift[k] = platt(logits[:, k], y[:, k], counts)
        return self

    def decision_function(self, X: Any) -> Floats:
        """Logits: (rows,) for two classes, (rows, classes) for more or for labels; ordinal: (rows, classes - 1)."""
        found: Floats = self._scores(X) * self._slope + self._shift
        one = found.shape[1] == 1 and not self.multilabel_
        one_or_more: Floats = found[:, 0] if one else found
        return one_or_more

    def predict_proba(self, X: Any) -> Floats:
        """Shape (rows, classes). For labels: the probability of each, by itself."""
        logits = self._scores(X) * self._slope + self._shift
        p: Floats = 1 / (1 + np.exp(-logits.clip(-700, 700)))
        if self.multilabel_:
            return p
        if self._single is not None:
            return np.ones((len(p), 1))
        if len(self.classes_) == 2:
            return np.hstack([1 - p, p])
        if self.ordinal:
            above = -np.sort(-p, axis=1)  # P(y > k) falls with k; sorting keeps what rises, rising
            edges = np.hstack([np.ones((len(p), 1)), above, np.zeros((len(p), 1))])
            p = edges[:, :-1] - edges[:, 1:]
        shares: Floats = p / p.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: Any) -> Any:
        """The likeliest class; for levels the last that is passed more likely than not; for labels 0 and 1."""
        check_is_fitted(self, "network_")
        if self.multilabel_:
            return (self.decision_function(X) > 0).astype(int)
        if self._single is not None:
            return np.repeat(self.classes_[:1], len(self._scores(X)))
        if len(self.classes_) == 2:
            return self.classes_[(self.decision_function(X) > 0).astype(int)]
        if self.ordinal:
            return self.classes_[(np.sort(self.decision_function(X), axis=1) > 0).sum(axis=1)]
        return self.classes_[self.decision_function(X).argmax(axis=1)]

    def _facts(self) -> dict[str, Any]:
        return {
            "classes": self.classes_.tolist(),
            "kind": self.classes_.dtype.str if self.classes_.dtype != object else "object",
            "multilabel": bool(self.multilabel_),
            "slope": self._slope.tolist(),
            "shift": self._shift.tolist(),
        }

    def _restore(self, facts: dict[str, Any]) -> None:
        self.classes_ = np.array(facts["classes"], dtype=object if facts["kind"] == "object" else facts["kind"])
        self.multilabel_ = facts["multilabel"]
        self._slope, self._shift = np.array(facts["slope"]), np.array(facts["shift"])
        self._single = 0 if len(self.classes_) == 1 and not self.multilabel_ else None


def _levels(y: Any) -> list[Any] | None:
    """The order of an ordered Categorical; None of all else."""
    column = y.iloc[:, 0] if getattr(y, "ndim", 0) == 2 and hasattr(y, "iloc") and y.shape[1] == 1 else y
    kind: Any = getattr(column, "dtype", None)
    return list(kind.categories) if getattr(kind, "ordered", False) else None


def _refuse_without_order(classes: Any, levels: list[Any] | None) -> None:
    """Levels are learnt in sorted order: of numbers that is theirs, of words it may be any."""
    then = "Give the codes of an ordered Categorical, y.cat.codes, or 0, 1, 2, ..."
    if levels is not None:
        present = [level for level in levels if level in set(classes.tolist())]
        if present != classes.tolist():
            came = f"classes in the order {present[:4]} came"
            raise BadInput("ordinal", came, f"scikit-learn sorts classes: {classes.tolist()[:4]}", then)
    elif classes.dtype.kind not in "biuf":
        came = f"classes {classes.tolist()[:4]} came, whose order nobody has said"
        raise BadInput(
            "ordinal", came, "numbers are right, or an ordered Categorical in the order of the alphabet", then
        )
