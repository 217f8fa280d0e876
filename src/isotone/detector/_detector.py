"""An alarm from either of two lanes: one that detects all it can, and a floor that nothing added can talk down."""

from __future__ import annotations

import copy
import os
import warnings
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from ..attack import Moves
from ..bounds import UNLIMITED, Needed, either
from ..data import folds, row_hashes
from ..directions import as_directions
from ..errors import BadInput
from ..evaluation import Interval, clopper_pearson, negatives_needed, platt
from ..explain import Reason, importance, sufficient_reasons
from ..floors import BestFloor, FloorProof, best_floor, fingerprint, replaced, ways_of
from ..progress import Progress
from ..threat import Roles, Threat
from ..verdict import Verdict
from . import _files, _free
from ._budget import share
from ._folds import FOLDS, NoFolds, few, out_of_fold
from ._rows import PARTS, are_bits, checked_groups, columns, parts, together

Scores = NDArray[np.float64]

# Beside a free lane the floor ends with about half of the budget, so it is trained for that: on five inner splits of
# DREBIN-215 it certifies .265 at one point of clean detection, trained for the whole .222 (benchmarks/floor_share.py).
_FLOOR_SHARE = 0.5
_REASON_ROWS = 300


class NotSupported(UserWarning):
    """Benign rows too few for the false-alarm rate, or a floor that is not proved: nothing is certified."""


class Detector(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A guarded detector: alarm when a free lane or a monotone floor fires; what the floor alarms stays alarmed.

    The free lane is an ordinary classifier and detects as much as it can. The floor is monotone along the threat's
    directions: whatever an attacker adds, its score never falls. Each has a threshold; together they alarm no more of
    the benign rows held out for it than the budget. The split of the budget is the one with the highest certified
    detection (by the floor) whose clean detection (by either) is within `max_clean_loss` of the free lane alone.

    Args:
        threat: what the attacker can do; a `Threat`, or one direction per feature (+1 addable, -1 removable, 0 out of
            reach). By default everything can be added or raised. Features that the attacker sets at will are not used.
        max_false_alarm_rate: the budget of both lanes together, as a share of benign rows.
        max_clean_loss: most clean detection given up for the floor, as a share of bad rows.
        free: the free lane: "auto" (LightGBM where it is installed, else a network), any classifier of scikit-learn's
            form, or None: the floor stands alone.
        floor: "auto" (chosen among isotone's floors by detection at the rate, on folds of the rows), or a floor of
            `isotone.floors`.
        folds: where `fit` is given no rows to set thresholds on: with k folds thresholds are set on all rows, each
            scored by lanes that were fitted to the other folds, and the lanes in use are fitted to all rows; None: rows
            are held out. "auto": five; None where rows held out are enough (the budget of a hundred false alarms or
            more), where the free lane or a part of it is frozen, or where a label has fewer than ten rows. Cost: k fits
            of each lane more.
        validation_fraction: share of the rows that are held out to set thresholds.
        random_state: of the split and both lanes.
        verbose: 1 shows progress bars.

    Attributes:
        classes_: the two labels; the second is the bad one.
        roles_: what each feature is to the attacker; `print(detector.roles_.told())`.
        shares_: thresholds, and what they gave on the held-out rows.
        measured_: scores of the held-out rows by both lanes, and their labels (1 is bad), from which
            `isotone.detector.share` splits the budget; not in a folder.
        false_alarm_rate_, detection_, certified_detection_: `Interval`s on the held-out rows (95 %, Clopper-Pearson).
            The split was chosen on these rows, among as many as the budget has alarms: rows of a test set come lower
            by little. With folds they are of lanes that were fitted to k - 1 of them.
        supported_: whether the held-out benign rows are enough for the rate; if not, nothing is certified. With folds
            each row is held out once, and intervals are right as far as the lanes in use score like those of the folds.
        free_, floor_: the fitted lanes.

    Source: Fleshman et al. 2018 (arXiv 1806.06108) for the floor; docs/detection.md has the figures.

    >>> rng = np.random.default_rng(0)
    >>> X = (rng.random((2000, 20)) < 0.3).astype(float)
    >>> y = ((X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3]) > 0).astype(int)
    >>> detector = isotone.Detector(max_false_alarm_rate=0.02, random_state=0).fit(X, y)
    >>> bool(detector.certified_detection_.rate > 0.9)
    True
    >>> padded = np.maximum(X, np.arange(20) >= 4)
    >>> bool((detector.predict(padded)[detector.certified(X)] == 1).all())
    True
    """

    def __init__(
        self,
        threat: Any = None,
        *,
        max_false_alarm_rate: float = 0.01,
        max_clean_loss: float = 0.01,
        free: Any = "auto",
        floor: Any = "auto",
        folds: Any = "auto",
        validation_fraction: float = 0.25,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.threat = threat
        self.max_false_alarm_rate = max_false_alarm_rate
        self.max_clean_loss = max_clean_loss
        self.free = free
        self.floor = floor
        self.folds = folds
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.sparse = True
        return tags

    # -- fitting ------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, *, validation: Any = None, groups: Any = None, feature_names: Any = None) -> Self:
        """Fit both lanes and set their thresholds.

        Args:
            X: shape (rows, features), dense, pandas or scipy-sparse.
            y: shape (rows,), two labels; the second in sorted order is the bad one.
            validation: rows and labels (X, y) to set thresholds on, which nothing else is done with; none of them may
                be among those of X, or the rates are too good. Without, see `folds`: where rows are held out, equal
                rows are never on both sides.
            groups: shape (rows,); rows of a group stay together, in folds and where rows are held out.
            feature_names: names for the threat's globs, where X has none (then they are x0, x1, ...).

        Raises:
            BadInput: labels, a setting or a threat that does not fit.

        Warns: `NotSupported`, where the benign rows held out are too few for the false-alarm rate, or the floor is not
            proved to follow the threat.
        """
        self._check_settings()
        if y is None:
            raise ValueError("Detector requires y to be passed, but the target y is None.")
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(y)
        if (kind := type_of_target(y)) != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"Detector needs rows of two classes; the data holds one class: {self.classes_[0]!r}.")
        self._understand(X.shape[1], feature_names)
        X, groups = columns(X, self._kept), None if groups is None else checked_groups(groups, len(labels))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rate = self.max_false_alarm_rate * (1.0 if self.free is None else _FLOOR_SHARE)
        fold = self._fold(X, labels, groups, seed) if validation is None else None
        with Progress(shown=bool(self.verbose)) as progress:
            if fold is not None:
                train = (X, labels)
                self.free_ = self._fit_free(X, labels, seed, progress)
                self.floor_ = self._fit_floor(train, None, groups, rate, seed, progress)
                bar = progress.bar("folds", int(fold.max()) + 1)
                found = out_of_fold(
                    self.free, self._floor(), self.floor_, X, labels, fold, self.directions_, rate, seed, bar.update
                )
                self._set_thresholds(*found, labels, held=True)
            else:
                train, choose, measure, held, families = self._parts(X, labels, groups, validation, seed)
                choose, families = (choose, families) if held else (None, None)
                every = train if choose is None else together(train, choose)
                self.free_ = self._fit_free(every[0], every[1], seed, progress)
                self.floor_ = self._fit_floor(train, choose, families, rate, seed, progress)
                free = None if self.free_ is None else _free.measured(self.free_, measure[0])
                self._set_thresholds(free, self.floor_.scores(measure[0]), measure[1], held=held)
            self._learn_reasons(*train)
        return self

    def _check_settings(self) -> None:
        for name in ("max_false_alarm_rate", "validation_fraction"):
            if not isinstance(getattr(self, name), Real) or not 0 < getattr(self, name) < 1:
                raise BadInput(name, f"{getattr(self, name)!r} came", "a share between 0 and 1 is right, such as 0.01")
        if not (
            self.folds is None or self.folds == "auto" or (isinstance(self.folds, Integral) and int(self.folds) > 1)
        ):
            raise BadInput("folds", f"{self.folds!r} came", "'auto', None or a whole number of at least 2 is right")
        loss: Any = self.max_clean_loss
        if not isinstance(loss, Real) or not 0 <= float(loss) <= 1:
            raise BadInput("max_clean_loss", f"{self.max_clean_loss!r} came", "a share from 0 to 1 is right")

    def _fold(self, X: Any, labels: NDArray[np.int64], groups: Any, seed: int) -> NDArray[np.int64] | None:
        """The fold of each row; None: rows are held out.

        Equal rows are in one fold, as they may be one sample twice; where groups say what belongs together, they are
        what is kept together, and equal rows of two groups are two.
        """
        count, frozen = self.folds, _free.frozen(self.free)
        if count == "auto":
            held = frozen or not few(labels, self.validation_fraction, self.max_false_alarm_rate)
            count = None if held else FOLDS
        elif count is not None and frozen:
            raise NoFolds(
                "folds", f"{count} came with a frozen free lane", "None is right: it cannot be fitted to folds"
            )
        if count is None:
            return None
        found = folds(labels, int(count), seed, row_hashes(X) if groups is None else groups)
        if found is None and self.folds != "auto":
            came = f"{count} came, and some fold would hold fewer than two rows of a label"
            raise NoFolds("folds", came, "fewer are right, or None: then rows are held out")
        return found

    def _understand(self, width: int, feature_names: Any) -> None:
        """Roles and directions, and which columns may be used."""
        names = getattr(self, "feature_names_in_", feature_names)
        if feature_names is not None and list(map(str, names)) != list(map(str, feature_names)):
            right = "none is right beside a table that has its own"
            raise BadInput("feature_names", f"others came than the columns of X: {list(feature_names)[:3]}", right)
        self.names_ = [f"x{j}" for j in range(width)] if names is None else [str(name) for name in names]
        if len(self.names_) != width:
            raise BadInput("feature_names", f"{len(self.names_)} came for {width} features", "one per feature is right")
        threat = Threat() if self.threat is None else self.threat
        self._kept = None
        if isinstance(threat, Threat):
            self.roles_ = threat.roles(self.names_)
            order = np.array(threat.order(self.names_))
            if self.roles_.settable:
                settable = set(self.roles_.settable)
                self._kept = np.flatnonzero([name not in settable for name in self.names_])
                order = order[self._kept]
            self.directions_ = tuple(int(d) for d in order)
        else:
            self.directions_ = as_directions(threat, width, self.names_)
            by = {
                way: tuple(n for n, d in zip(self.names_, self.directions_, strict=True) if d == way)
                for way in (1, -1, 0)
            }
            self.roles_ = Roles(by[1], by[-1], (), by[0], ())
        if not any(self.directions_):
            raise BadInput(
                "threat", "no feature can be added or removed", "without one there is nothing to guard against"
            )

    def _parts(self, X: Any, labels: Any, groups: Any, validation: Any, seed: int) -> Any:
        """Rows to train on, to choose by, to set thresholds on; whether the last are apart; groups of the first two."""
        if validation is None:
            rest = 1 - self.validation_fraction
            fractions = (rest * 0.8, rest * 0.2, self.validation_fraction)
            a, b, c, held = parts(X, labels, groups, fractions, seed)
            return (X[a], labels[a]), (X[b], labels[b]), (X[c], labels[c]), held, _of(groups, a, b)
        if not (isinstance(validation, tuple | list) and len(validation) == 2):
            raise BadInput("validation", f"a {type(validation).__name__} came", "a pair of rows and labels is right")
        held_X, held_y = validation
        held_X = columns(validate_data(self, held_X, reset=False, accept_sparse="csr", dtype=np.float64), self._kept)
        held_y = np.asarray(held_y)
        if held_y.shape != (held_X.shape[0],):
            raise BadInput(
                "validation", f"labels of shape {held_y.shape} came for {held_X.shape[0]} rows", "one per row is right"
            )
        if strange := sorted(set(held_y.tolist()) - set(self.classes_.tolist()), key=str):
            raise BadInput("validation", f"the label {strange[0]!r} came", f"{self.classes_.tolist()} are right")
        if not (held_y == self.classes_[0]).any():
            raise BadInput("validation", "no benign row came", "a threshold is set by benign rows", "Bring some.")
        if held_X.shape == X.shape and (row_hashes(held_X) == row_hashes(X)).all():
            came, right = "the rows to learn from came again", "rows that nothing learns from are right"
            raise BadInput(
                "validation", came, right, "Leave it out: thresholds are then set by folds or rows held out."
            )
        a, b, c, _ = parts(X, labels, groups, PARTS, seed)
        a = np.unique(np.concatenate([a, c]))
        measure = (held_X, np.searchsorted(self.classes_, held_y))
        return (X[a], labels[a]), (X[b], labels[b]), measure, True, _of(groups, a, b)

    def _floor(self) -> Any:
        """Not fitted."""
        if isinstance(self.floor, str):
            if self.floor != "auto":
                raise BadInput("floor", f"{self.floor!r} came", "'auto' or a floor of isotone.floors is right")
            return best_floor()
        if isinstance(self.floor, type) or not hasattr(self.floor, "prove"):
            came = self.floor.__name__ if isinstance(self.floor, type) else repr(self.floor)
            raise BadInput(
                "floor", f"{came} came", "'auto' or a floor, such as isotone.floors.PatternFloor(), is right"
            )
        return self.floor

    def _fit_free(self, X: Any, labels: NDArray[np.int64], seed: int, progress: Progress) -> Any:
        if self.free is None:
            return None
        kept = range(len(self.names_)) if self._kept is None else self._kept.tolist()
        if hasattr(self, "feature_names_in_") or self._named_by_hand:
            _free.check_columns(self.free, [self.names_[j] for j in kept])
        bar = progress.bar("free lane", 1)
        found = _free.fitted(self.free, X, labels, seed)
        bar.finish()
        return found

    def _fit_floor(  # noqa: PLR0917 - rows to learn and to choose from, and how
        self, train: Any, choose: Any, families: Any, rate: float, seed: int, progress: Progress
    ) -> Any:
        floor, bar = self._floor(), progress.bar("floor", 100)
        more: dict[str, Any] = {}
        if isinstance(floor, BestFloor) and families is not None:
            more["families"] = families
        if progress.shown:
            more["progress"] = lambda share, what: bar.update(int(99 * share), what)
        found = copy.deepcopy(floor).fit(*train, self.directions_, rate=rate, seed=seed, validation=choose, **more)
        bar.finish(type(getattr(found, "floor_", found)).__name__)
        return found

    def _set_thresholds(self, free: Scores | None, floor: Scores, labels: NDArray[np.int64], *, held: bool) -> None:
        self.measured_ = (free, floor, labels)
        self.shares_ = share(free, floor, labels, self.max_false_alarm_rate, self.max_clean_loss)
        # Both lanes on one scale, on which 0 is their own threshold: log-odds above those at the threshold.
        self._slopes = tuple(1.0 if s is None else platt(s, labels.astype(np.float64))[0] for s in (free, floor))
        benign = self.shares_.benign
        self.supported_ = held and benign >= negatives_needed(self.max_false_alarm_rate)
        self.held_out_ = held
        bad = int((labels == 1).sum())
        either = floor > self.shares_.floor
        proof = self.certify()
        self._proved, self._judged = proof.verdict is Verdict.PROVED, fingerprint(self.floor_)
        certain = either & self.supported_ & self._proved
        if free is not None:
            either = either | (free > self.shares_.free)
        self.false_alarm_rate_ = _interval(int(either[labels == 0].sum()), benign)
        self.detection_ = _interval(int(either[labels == 1].sum()), bad)
        self.certified_detection_ = _interval(int(certain[labels == 1].sum()), bad)
        if not self._proved:
            said = f"the floor is not proved to follow the threat ({proof.reason}); nothing is certified."
            warnings.warn(said, NotSupported, stacklevel=3)
        if not self.supported_:
            what = f"{benign} benign rows were held out" if held else "there were too few rows to hold any out"
            warnings.warn(
                f"max_false_alarm_rate {self.max_false_alarm_rate:.2%}: {what}, and at least "
                f"{negatives_needed(self.max_false_alarm_rate)} are needed to support it with 95% confidence; nothing "
                "is certified. Allow a higher rate, or bring more benign rows.",
                NotSupported,
                stacklevel=3,
            )

    def _learn_reasons(self, X: Any, labels: NDArray[np.int64]) -> None:
        """What a feature holds when it is no evidence, and how much each says, so that reasons are few."""
        self._baseline = _extremes(X, self.directions_)
        self._bits = are_bits(X)
        bad = np.flatnonzero(labels == 1)
        alarms = bad[self.floor_.scores(X[bad]) > self.shares_.floor][:_REASON_ROWS]
        self._importance = np.zeros(X.shape[1])
        if len(alarms):
            self._importance = importance(self.floor_.scores, X[alarms], self.directions_, baseline=self._baseline)

    # -- scoring ------------------------------------------------------------------------------------------------------

    def lanes(self, X: Any) -> tuple[Scores | None, Scores]:
        """How far each lane is above its threshold, each of shape (rows,): free (None where there is none), floor."""
        X = self._read(X)
        return self.above(None if self.free_ is None else _free.scores(self.free_, X), self.floor_.scores(X))

    def above(self, free: Scores | None, floor: Scores) -> tuple[Scores | None, Scores]:
        """Scores as the lanes give them and `measured_` has them, on the scale of `lanes`."""
        by_floor = _above(floor, self.shares_.floor, self._slopes[1])
        return None if free is None else _above(free, self.shares_.free, self._slopes[0]), by_floor

    def decision_function(self, X: Any) -> Scores:
        """Shape (rows,): the larger of both lanes, each as log-odds above those at its threshold; alarm above 0."""
        free, floor = self.lanes(X)
        return floor if free is None else np.maximum(free, floor)

    def predict(self, X: Any) -> Any:
        """The label of each row: the bad one where either lane fires."""
        alarms = self.decision_function(X) > 0
        return self.classes_[alarms.astype(int)]

    def certified(self, X: Any) -> NDArray[np.bool_]:
        """Shape (rows,): alarms of the floor, which nothing the threat names can undo.

        None where not `supported_`, or where the floor is not proved to follow the threat.
        """
        _, floor = self.lanes(X)
        return (floor > 0) & self.supported_ & self.proved

    @property
    def proved(self) -> bool:
        """Whether the floor, as it is in memory now, is proved to follow the threat.

        Cost: one pass over its weights; the proof anew where it was read from a folder or anything in it is another.
        """
        check_is_fitted(self, "floor_")
        if (now := fingerprint(self.floor_)) != self._judged:
            self._proved, self._judged = self.certify().verdict is Verdict.PROVED, now
        return self._proved

    def reasons(self, X: Any) -> list[Reason | None]:
        """For each row an irreducible set of present features that alone keep it alarmed; None without a floor's alarm.

        Cost: one score of the floor per present feature and row. See `isotone.explain.sufficient_reasons`.
        """
        X = self._read(X)
        alarmed = np.flatnonzero(self.floor_.scores(X) > self.shares_.floor)
        found: list[Reason | None] = [None] * X.shape[0]
        told = sufficient_reasons(
            self.floor_.scores, X[alarmed], self.shares_.floor, self.directions_,
            baseline=self._baseline, importance=self._importance,
        )  # fmt: skip
        kept = np.arange(self.n_features_in_) if self._kept is None else self._kept
        for row, reason in zip(alarmed.tolist(), told, strict=True):
            found[row] = replace(reason, features=tuple(kept[list(reason.features)].tolist()))
        return found

    def additions_needed(self, X: Any, moves: Moves | None = None) -> Needed:
        """How many additions bring each alarm down, at least: a proof for each row, of both lanes together.

        Alarms of the floor: unlimited, by its proof. Of the free lane alone: what is proved of its trees; 1 where
        nothing is, as for a classifier that is no ensemble of trees.

        Args:
            X: rows, as for `predict`.
            moves: what the attacker can do; by default names are added whole, where the training rows were 0 and 1.
                What they do to features that are set at will makes no difference.

        Raises:
            BadInput: no moves, and the training rows or these are no bits; moves that the threat does not name.

        Cost: half a minute for 1,000 rows and 300 trees (`isotone.auditing.trees.additions_needed`).
        """
        X = self._read(X)
        if moves is None:
            if not self._bits or not are_bits(X):
                raise BadInput(
                    "moves", "none came, and the features are no bits", "Moves.between(directions, low, high) is right"
                )
            moves = Moves.of_names(self.directions_)
        elif self._kept is not None and moves.features == self.n_features_in_:
            at = torch.from_numpy(self._kept)
            moves = Moves(moves.addable[at], moves.target[at], moves.directions[at], moves.step[at])
        ways = torch.tensor(self.directions_)
        if moves.features != len(ways) or bool((moves.addable & (moves.directions != ways)).any()):
            raise BadInput(
                "moves", "other directions than the threat's came", "Moves.between(detector.directions_, ...) is right"
            )
        floor = np.where(self.floor_.scores(X) > self.shares_.floor, UNLIMITED, 0)
        if self.certify().verdict is not Verdict.PROVED:
            floor = np.minimum(floor, 1)
        found = Needed(torch.from_numpy(floor.astype(np.int64)))
        if self.free_ is None:
            return found
        return either(_free.additions_needed(self.free_, X, self.shares_.free, moves), found)

    def certify(self) -> Any:
        """A proof that the floor never falls along the threat's directions, whatever the row."""
        check_is_fitted(self, "floor_")
        if ways_of(self.floor_) - {self.directions_}:
            return FloorProof(Verdict.UNKNOWN, "the floor was fitted to other directions than those of the threat")
        if said := replaced(self.floor_):
            return FloorProof(Verdict.UNKNOWN, said)
        return self.floor_.prove()

    @property
    def _named_by_hand(self) -> bool:
        """Whether names came as `feature_names`."""
        return not hasattr(self, "feature_names_in_") and self.names_ != [f"x{j}" for j in range(len(self.names_))]

    def _read(self, X: Any) -> Any:
        check_is_fitted(self, "floor_")
        if hasattr(X, "iloc") and self._named_by_hand:
            # Names were given beside an array: scikit-learn does not know them, and would not miss another order.
            if [str(name) for name in X.columns] != self.names_:
                raise BadInput(
                    "X", "its columns are not those of the fit, or stand in another order", "the same are right"
                )
            X = X.to_numpy()
        return columns(validate_data(self, X, reset=False, accept_sparse="csr", dtype=np.float64), self._kept)

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted detector to a folder, without pickle.

        Raises:
            CannotWrite: the folder is there already or cannot be made.
            BadInput: a free lane of a kind that can only be pickled.
        """
        check_is_fitted(self, "floor_")
        _files.write(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Detector:
        """What `save` wrote.

        Raises:
            BadInput: no such folder, another format, a file that was changed.
        """
        found: Detector = _files.read(cls, folder)
        return found


def _above(raw: Scores, threshold: float, slope: float) -> Scores:
    """Rising in `raw`, above 0 exactly where raw > threshold."""
    if not np.isfinite(threshold):
        return np.full(len(raw), -np.inf if threshold > 0 else np.inf)
    gap = raw - threshold  # exact in sign: two doubles differ by 0 only if they are equal
    return np.where(gap > 0, np.maximum(gap * slope, np.finfo(np.float64).tiny), gap * slope)


def _extremes(X: Any, directions: tuple[int, ...]) -> Scores:
    """Per feature the value that is no evidence: the lowest of an increasing one, the highest of a decreasing one."""
    if not X.shape[0]:
        return np.zeros(X.shape[1])
    sides = [getattr(X, name)(axis=0) for name in ("min", "max")]
    low, high = (np.asarray(side.todense() if hasattr(side, "todense") else side).ravel() for side in sides)
    return np.where(np.asarray(directions) < 0, high, np.minimum(low, 0.0)).astype(np.float64)


def _of(groups: Any, *parts: NDArray[np.int64]) -> Any:
    return None if groups is None else np.asarray(groups)[np.concatenate(parts)]


def _interval(count: int, of: int) -> Interval | None:
    return clopper_pearson(count, of) if of else None
