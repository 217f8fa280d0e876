"""What the estimators share: reading tables, fitting, scoring in blocks of one size, proof, explanation, files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ..certify import Certificate, certify
from ..directions import as_directions
from ..effects import effects as effects_of
from ..effects import reasons as reasons_of
from ..effects._rows import is_line, score_of, with_orders
from ..encoding import ColumnEncoder
from ..encoding._cells import Table
from ..errors import BadInput, require
from ..nn import TabularNetwork, quantile_knots
from ..progress import Progress
from ..saving import plain, read, read_setting, write
from ._learn import FEW_ROWS, Loss, Plan, Sample, learn
from ._sizes import FEW, MANY, Size, best, folds
from ._teacher import share_of, taught

# Rows are scored in blocks of one shape, so that a score does not depend on its neighbours in the last bits.
BLOCK = 1024
_CENTRING_ROWS = 1024
_EARLY_FROM = 10_000
_STRETCH_ROWS = 250
_ONE_AT_A_TIME = threading.RLock()


Floats = NDArray[np.float64]


class MonotoneEstimator(BaseEstimator):  # type: ignore[misc]
    """Base of `MonotoneRegressor` and `MonotoneClassifier`; see there."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        return tags

    network_: TabularNetwork
    encoder_: ColumnEncoder
    history_: list[float]
    size_: Size

    # -- reading ------------------------------------------------------------------------------------------------------

    def _table(self, X: Any, *, reset: bool) -> Any:
        """Validated rows: an array of floats, a sparse matrix, or the table itself where it holds categories."""
        words = _of_words(X)
        if _is_frame(X) or words is not None:
            X = X if words is None else words
            categories = self._categories_in(X) if reset else self.categories_ or self._categories_in(X)
            if categories:
                if not len(X):
                    raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
                validate_data(self, X, reset=reset, skip_check_array=True)
            _refuse_what_is_no_number(X, categories)
            if categories:
                return X
        return validate_data(self, X, reset=reset, accept_sparse="csr", dtype=np.float64, ensure_all_finite="allow-nan")

    def _categories_in(self, X: Any) -> list[int]:
        """Columns that hold categories."""
        said = self.categorical_features
        names = [str(name) for name in X.columns] if _is_frame(X) else None
        width = X.shape[1]
        if said is None:
            return []
        if isinstance(said, str) and said == "from_dtype":
            if names is None:
                return []
            pandas = require("pandas", "tables")
            kinds = (pandas.CategoricalDtype, pandas.StringDtype)
            return [
                j
                for j, kind in enumerate(X.dtypes)
                if isinstance(kind, kinds)
                or kind.kind in "US"
                or (kind.kind == "O" and X.iloc[:, j].map(type).eq(str).any())
            ]
        said = np.asarray(said)
        if said.dtype == bool:
            return [int(j) for j in np.flatnonzero(said)]
        # A number is a place, as for scikit-learn, even where names are numbers.
        found = [names.index(s) if names and isinstance(s, str) and s in names else s for s in said.tolist()]
        if strange := [s for s in found if not isinstance(s, int) or not 0 <= s < width]:
            raise BadInput("categorical_features", f"{strange[0]!r} came", f"names or numbers of the {width} columns")
        return [int(j) for j in found]

    def _directions(self, width: int) -> tuple[int, ...]:
        names = getattr(self, "feature_names_in_", None)
        cst = self.monotonic_cst
        if cst is None:
            return (0,) * width
        if isinstance(cst, dict):
            if names is None:
                raise BadInput(
                    "monotonic_cst",
                    f"{type(self).__name__} was not fitted on data with feature names, and a dict came",
                    "give one number per feature, or a pandas DataFrame",
                )
            return as_directions(cst, width, [str(name) for name in names])
        given = np.asarray(cst)
        if given.ndim != 1 or len(given) != width:
            raise BadInput(
                "monotonic_cst", f"an array of shape {given.shape} came for {width} features", f"shape ({width},)"
            )
        return as_directions(given.tolist(), width)

    # -- fitting ------------------------------------------------------------------------------------------------------

    def _fit(self, X: Any, y: Floats, weight: Floats | None, loss: Loss, stratify: Any = None) -> Self:
        """Fit network_ to validated rows and targets (rows, outputs)."""
        outputs = y.shape[1]
        self._check_settings()
        X, y, weight, stratify = _that_count(X, y, weight, stratify)
        again = self.warm_start and hasattr(self, "network_") and self.network_.out_features == outputs
        if again:
            self._check_same_reading(X.shape[1])
        else:
            self._encode(X, weight)
        z = self.encoder_.transform(X)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        few = len(z) <= FEW_ROWS
        dtype = torch.float64 if few else torch.float32
        device = self._device()
        early = self._early(len(z))
        inside, outside = self._split(len(z), early, seed, stratify)
        # Torch has one generator for all threads: two fits at a time would draw from each other's seed.
        with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            train = _sample((z, y, weight), inside, (device, dtype))
            held = _sample((z, y, weight), outside, (device, dtype)) if early else None

            def started(size: Size) -> TabularNetwork:
                network = self._network(z, weight, outputs, size).to(device=device, dtype=dtype)
                at = slice(None) if few else slice(0, _CENTRING_ROWS)
                network.centre_(train.z[at], train.weight[at])
                return network

            def plan(size: Size) -> Plan:
                return Plan(
                    epochs=size.epochs,
                    batch_size=self.batch_size,
                    learning_rate=self.learning_rate,
                    weight_decay=size.weight_decay,
                    patience=self.n_iter_no_change if early else None,
                    seed=seed,
                    few=few,
                )

            sizes = self._sizes(few=few, again=again)
            fold = folds(z) if len(sizes) > 1 and not early else None
            with Progress(shown=bool(self.verbose)) as progress:
                size = sizes[0]
                if fold is not None:
                    bar = progress.bar("sizes tried", len(sizes))
                    size = best(sizes, fold, train, loss, started, plan, bar.update)
                    bar.finish()
                    torch.manual_seed(seed)
                # After the choice by folds: a teacher has seen the targets of all of them.
                share = share_of(self.teacher, loss, (z.shape[1], outputs), few=few)
                if share:
                    said = self._taught((z[inside], y[inside], weight[inside]), loss, share, seed, progress)
                    share = share if said is not None else 0.0
                    train = train if said is None else replace(train, y=said.to(train.y))
                size = size._replace(teacher=share)
                if again:
                    self.network_.to(device=device, dtype=dtype)
                else:
                    self.network_ = started(size)
                history = self._watched(train, held, loss, plan(size), progress)
        self.size_ = size
        self.history_ = [*self.history_, *history] if again else history
        self.n_iter_ = len(history)
        self.directions_ = self.encoder_.directions_
        self._held = None if held is None else (held.z, held.y, held.weight)
        return self

    def _encode(self, X: Any, weight: Floats) -> None:
        """Learn how a table becomes numbers."""
        self.categories_ = self._categories_in(X) if _is_frame(X) or self.categorical_features is not None else []
        self.encoder_ = self._encoder(X.shape[1]).fit(X, weight)

    def _encoder(self, width: int) -> ColumnEncoder:
        """As the settings say, not fitted."""
        return ColumnEncoder(
            self._directions(width),
            missing=self.missing if isinstance(self.missing, str) else self._by_number("missing"),
            categorical=tuple(self.categories_),
            orders=self._by_number("category_orders"),
        )

    def _check_same_reading(self, width: int) -> None:
        """A network that goes on reads rows as it did: what is proved and told is about that reading."""
        now = self._encoder(width)
        for name, here, there in (
            ("directions", now.directions, self.encoder_.directions),
            ("missing", now.missing, self.encoder_.missing),
            ("category_orders", now.orders, self.encoder_.orders),
        ):
            if here != there:
                raise BadInput("warm_start", f"other {name} came", "those of the first fit are right", "Fit anew.")

    def _watched(self, train: Sample, held: Sample | None, loss: Loss, plan: Plan, progress: Progress) -> list[float]:
        """A loss per epoch, with a bar where it was asked for."""
        bar = progress.bar(type(self).__name__, plan.epochs)

        def watch(epoch: int, _: int, value: float) -> None:
            bar.update(epoch, f"loss {value:.4g}")

        history = learn(self.network_, train, held, loss, plan, watch)
        bar.finish()
        return history

    def _taught(
        self, rows: tuple[Floats, Floats, Floats], loss: Loss, share: float, seed: int, progress: Progress
    ) -> Tensor | None:
        """Targets of which a booster says a share, with a bar where it was asked for; None where it says nothing."""
        bar = progress.bar("teachers", rows[1].shape[1])
        targets = taught(*rows, self.encoder_.directions_, loss, share, seed, bar.update)
        bar.finish()
        return None if np.array_equal(targets, rows[1]) else torch.from_numpy(targets)

    def _early(self, rows: int) -> bool:
        """Whether rows are held out. A length that is not said ends with a rate of 0, and needs no stop."""
        if isinstance(self.early_stopping, bool):
            return self.early_stopping
        return rows > _EARLY_FROM and not _auto(self.epochs)

    def _sizes(self, *, few: bool, again: bool) -> list[Size]:
        """What "auto" may stand for, beside what was said; one if the length is said, or training goes on."""
        said = {name: getattr(self, name) for name in Size._fields if not _auto(getattr(self, name, "auto"))}
        if again:  # the network stays as it is; how it is trained may be another way
            said = {name: value for name, value in said.items() if name in ("epochs", "weight_decay")}
        if "stretches" in said:
            said["stretches"] = (self.stretches, self.stretches)
        for name in {"hidden", "embedding"} & set(said):
            said[name] = tuple(said[name])
        tried: tuple[Size, ...] = (self.size_,) if again else FEW if few else (MANY,)
        if said.get("hidden") or {"embedding", "stretches"} & set(said):
            tried = tuple(size for size in tried if size.hidden)  # with these it would be no line
        every = list(dict.fromkeys(size._replace(**said) for size in tried))
        return every[:1] if "epochs" in said else every

    def _network(self, z: Floats, weight: Floats, outputs: int, size: Size) -> TabularNetwork:
        encoder = self.encoder_
        # A stretch that few rows fall into learns their noise.
        stretches = int(np.clip(len(z) // _STRETCH_ROWS, *size.stretches))

        def knots(most: int) -> list[list[float] | None]:
            counted = torch.from_numpy(weight)
            return [
                quantile_knots(torch.from_numpy(z[:, j]), most, counted).tolist() if number else None
                for j, number in enumerate(encoder.is_number_)
            ]

        return TabularNetwork(
            knots(stretches),
            encoder.directions_,
            coarse=knots(size.coarse) if size.coarse < stretches else None,
            free_knots=size.coarse,
            hidden=size.hidden,
            embedding=size.embedding,
            out_features=outputs,
            members=size.members,
            dropout=self.dropout,
        )

    def _by_number(self, setting: str) -> dict[int, Any]:
        """A setting whose keys are names or numbers of columns, by number."""
        names = [str(n) for n in getattr(self, "feature_names_in_", [])]
        found = {}
        for key, given in (getattr(self, setting) or {}).items():
            number = isinstance(key, int | np.integer)
            if not number and str(key) not in names:
                right = f"one of {', '.join(names[:8])} is right" if names else "numbers of columns are right"
                raise BadInput(setting, f"{key!r} came", right)
            found[int(key) if number else names.index(str(key))] = given
        return found

    def _split(self, rows: int, early: bool, seed: int, stratify: Any) -> tuple[Any, Any]:
        if not early:
            return np.arange(rows), np.arange(0)
        if rows < 2:
            raise BadInput("early_stopping", "one row came", "two or more can be parted", "Set early_stopping=False.")
        split = require("sklearn.model_selection", "tables").train_test_split
        at = np.arange(rows)
        try:
            inside, outside = split(at, test_size=self.validation_fraction, random_state=seed, stratify=stratify)
        except ValueError:  # a class of one row cannot be on both sides
            inside, outside = split(at, test_size=self.validation_fraction, random_state=seed)
        return np.sort(inside), np.sort(outside)

    def _device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def _check_settings(self) -> None:
        whole, share = "a whole number above 0", "a share from 0 to 1"
        auto = "'auto' or "

        def counts(value: Any) -> bool:
            return isinstance(value, int | np.integer) and bool(value > 0)

        def widths(value: Any) -> bool:
            several = [0] if isinstance(value, str) or np.ndim(value) != 1 else np.asarray(value).tolist()
            return all(isinstance(width, int) and width > 0 for width in several)

        numbers = "whole numbers above 0, such as (32, 32),"
        right: dict[str, tuple[Callable[[Any], bool], str]] = {
            "learning_rate": (lambda v: v > 0, "a number above 0"),
            "batch_size": (counts, whole),
            "epochs": (counts, auto + whole),
            "members": (counts, auto + whole),
            "stretches": (counts, auto + whole),
            "hidden": (widths, auto + numbers),
            "embedding": (widths, auto + numbers),
            "weight_decay": (lambda v: v >= 0, auto + "a number of at least 0"),
            "teacher": (lambda v: 0 <= v <= 1, auto + share),
            "validation_fraction": (lambda v: 0 < v < 1, "a share such as 0.1"),
            "n_iter_no_change": (counts, whole),
            "dropout": (lambda v: 0 <= v < 1, "a share of at least 0 and below 1"),
            "missing": (
                lambda v: isinstance(v, dict) or v in ("lowest", "highest", "outside"),
                "'lowest', 'highest' or 'outside'",
            ),
            "early_stopping": (lambda v: v == "auto" or isinstance(v, bool), "'auto', True or False"),
        }
        for name, (fits, what) in right.items():
            value = getattr(self, name)
            if not (what.startswith(auto) and _auto(value)) and not _fits(fits, value):
                raise BadInput(name, f"{value!r} came", f"{what} {'are' if what.endswith(',') else 'is'} right")

    # -- scoring ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _scores(self, X: Any) -> Floats:
        """Raw outputs of the network, shape (rows, outputs)."""
        check_is_fitted(self, "network_")
        z = self.encoder_.transform(self._table(X, reset=False))
        parameter = next(self.network_.parameters())
        found = np.empty((len(z), self.network_.out_features))
        for start in range(0, len(z), BLOCK):
            part = z[start : start + BLOCK]
            if len(part) < BLOCK:
                part = np.concatenate([part, np.repeat(part[-1:], BLOCK - len(part), axis=0)])
            block = torch.from_numpy(part).to(device=parameter.device, dtype=parameter.dtype)
            found[start : start + BLOCK] = self.network_(block)[: len(z) - start].double().cpu().numpy()
        return found

    # -- proof and explanation ----------------------------------------------------------------------------------------

    def certify(self, **settings: Any) -> Certificate:
        """A proof that the fitted network moves along its directions, for all encoded rows; see `isotone.certify`.

        The encoder keeps the stated order of the table by itself (`isotone.encoding`), the claim is about its numbers.

        >>> X = np.random.default_rng(0).random((60, 2))
        >>> isotone.MonotoneRegressor(monotonic_cst=[1, -1], epochs=5).fit(X, X[:, 0] - X[:, 1]).certify().verdict.name
        'PROVED'
        """
        check_is_fitted(self, "network_")
        parameter = next(self.network_.parameters())
        rows = torch.zeros(2, len(self.encoder_.directions_)).to(parameter)
        return certify(self.network_, (rows,), torch.tensor(self.encoder_.directions_).to(parameter.device), **settings)

    def effects(self, X: Any, features: Any = None, **settings: Any) -> Any:
        """One-dimensional effects with a plot; see `isotone.effects.effects`.

        Categories stand in the order that `category_orders` lists; of an order of pairs no direction is drawn.
        """
        ask, X, ways = self._explained(X, settings.pop("names", None))
        return effects_of(ask, X, features, directions=ways, **settings)

    def reasons(self, X: Any, baseline: Any, **settings: Any) -> Any:
        """Reason codes of rows against a stated baseline row; see `isotone.effects.reasons`.

        Categories stand in the order that `category_orders` lists; of an order of pairs no sign is promised.
        """
        # Policies that differ by column have no one word: nothing is promised then of a value beside a missing one.
        said = set(self.encoder_.missing) if hasattr(self, "encoder_") else {"outside"}
        settings.setdefault("missing", said.pop() if len(said) == 1 else "outside")
        ask, X, ways = self._explained(X, settings.pop("names", None))
        return reasons_of(ask, X, baseline, ways, **settings)

    def _explained(self, X: Any, names: Sequence[str] | None) -> tuple[Any, Any, tuple[int, ...]]:
        """What is asked, of which rows, and directions, where columns of categories carry the order they were given."""
        check_is_fitted(self, "network_")
        orders, ways = self._by_number("category_orders"), self.encoder_.directions
        ways = tuple(0 if j in orders and not is_line(orders[j]) else way for j, way in enumerate(ways))
        if not orders or _is_frame(X):
            return self, with_orders(X, orders), ways
        array, ask = np.asarray(X), score_of(self)
        return lambda frame: ask(frame.to_numpy(dtype=array.dtype)), with_orders(array, orders, names), ways

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a folder: weights in safetensors, the rest in JSON; no pickle.

        Raises:
            CannotWrite: the folder is there already, or cannot be made.
        """
        check_is_fitted(self, "network_")
        facts = {
            "settings": plain(self.get_params(deep=False)),
            "encoder": self.encoder_.to_dict(),
            "network": self.network_.arguments,
            "features": self.n_features_in_,
            "names": [str(n) for n in getattr(self, "feature_names_in_", [])],
            "categories": list(self.categories_),
            "history": self.history_,
            "n_iter": self.n_iter_,
            "size": plain(self.size_._asdict()),
            "fitted": self._facts(),
        }
        state = {k: v.detach().cpu().contiguous() for k, v in self.network_.state_dict().items()}
        write(folder, type(self).__name__, facts, state)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; weights outside their sets are projected, with a warning.

        Raises:
            BadInput: no such folder, or one of another estimator or format.
        """
        facts, state = read(folder, cls.__name__)
        try:
            return cls._read(facts, state)
        except (KeyError, TypeError) as fault:
            came = f"its facts are not those of this isotone's {cls.__name__} ({fault})"
            raise BadInput(
                f"load {folder}", came, "a folder that its save() wrote is right", "Fit and save anew."
            ) from None

    @classmethod
    def _read(cls, facts: dict[str, Any], state: dict[str, Tensor]) -> Self:
        self = cls(**{name: read_setting(given) for name, given in facts["settings"].items()})
        self.n_features_in_ = facts["features"]
        if facts["names"]:
            self.feature_names_in_ = np.array(facts["names"], dtype=object)
        self.encoder_ = ColumnEncoder.from_dict(facts["encoder"])
        self.directions_ = self.encoder_.directions_
        self.categories_, self.history_, self.n_iter_ = facts["categories"], facts["history"], facts["n_iter"]
        size: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts["size"].items()}
        self.size_ = Size(**size)
        dtype = next(v.dtype for v in state.values() if v.is_floating_point())
        self.network_ = TabularNetwork(**facts["network"]).to(dtype)
        self.network_.load_state_dict(state)
        self.network_.eval()
        self._restore(facts["fitted"])
        return self

    def _facts(self) -> dict[str, Any]:
        raise NotImplementedError

    def _restore(self, facts: dict[str, Any]) -> None:
        raise NotImplementedError

    def __getstate__(self) -> Any:
        state = super().__getstate__()
        state.pop("_held", None)
        return state


def _auto(setting: Any) -> bool:
    return isinstance(setting, str) and setting == "auto"


def _fits(fits: Callable[[Any], bool], value: Any) -> bool:
    """Whether a setting is right; what cannot be compared with numbers is not."""
    try:
        return bool(fits(value))
    except (TypeError, ValueError):
        return False


def _is_frame(X: Any) -> bool:
    return hasattr(X, "iloc") and hasattr(X, "dtypes") and hasattr(X, "columns")


def _of_words(X: Any) -> Any:
    """An array of words or objects, some columns of which may be categories; None for anything else."""
    if _is_frame(X) or hasattr(X, "tocsr"):
        return None
    array = np.asarray(X)
    return array if array.ndim == 2 and array.dtype.kind in "OUS" else None


def _refuse_what_is_no_number(X: Any, categories: Sequence[int]) -> None:
    """Dates, which would become nanoseconds, and infinity beside categories, which scikit-learn does not look at."""
    table = Table(X)
    for j in range(table.width):
        dates = table.frame and X.dtypes.iloc[j].kind in "mM"
        if not (dates or categories) or j in categories or table.is_category(j):
            continue
        if np.isinf(table.numbers(j)).any():
            raise ValueError(f"Input X contains infinity or a value too large for dtype('float64'): {table.name(j)}.")


def _that_count(X: Any, y: Floats, weight: Floats | None, stratify: Any) -> tuple[Any, Floats, Floats, Any]:
    """The rows whose weight is above 0."""
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    used = weight > 0
    if not used.any():
        raise BadInput("sample_weight", "no row has a weight above 0", "at least one row must count")
    return rows_of(X, used), y[used], weight[used], None if stratify is None else stratify[used]


def rows_of(X: Any, used: NDArray[np.bool_]) -> Any:
    """The rows that are used."""
    if used.all():
        return X
    return X.iloc[np.flatnonzero(used)] if _is_frame(X) else X[used]


def _sample(arrays: Sequence[Floats], at: Any, like: tuple[torch.device, torch.dtype]) -> Sample:
    device, dtype = like

    def of(values: Floats) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values[at])).to(device=device, dtype=dtype)

    z, y, weight = arrays
    return Sample(of(z), of(y), of(weight))
