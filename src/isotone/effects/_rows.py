"""Rows of numbers or of mixed columns, read and changed cell by cell; scores of them in blocks of one size.

- NumPy arrays and pandas DataFrames; types, names and categories of columns stay as they are;
- what is handed in is never changed;
- a score does not depend on which other rows were asked about: every call has the same number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..directions import as_directions
from ..errors import BadInput, NoMatch, require

Array = NDArray[Any]
Score = Callable[[Any], Any]
BLOCK = 1024
MISSING = {"lowest": -np.inf, "highest": np.inf, "outside": np.nan}


def is_frame(X: Any) -> bool:
    """Whether these are rows of a pandas DataFrame."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def as_rows(X: Any, where: str = "X") -> Any:
    """A DataFrame as it came, anything else as an array of shape (n, d).

    Raises:
        BadInput: sparse, not two-dimensional, empty, or with two columns of one name.
    """
    if is_frame(X):
        if len(set(map(str, X.columns))) < X.shape[1]:
            raise BadInput(where, "a frame with two columns of one name came", "one name each would be right")
    elif hasattr(X, "tocsr"):
        raise BadInput(where, "a sparse matrix came", "dense rows would be right", "Pass X.toarray() of some rows.")
    else:
        X = np.asarray(X)
    if X.ndim != 2 or not X.shape[0] or not X.shape[1]:
        raise BadInput(where, f"shape {X.shape} came", "rows of features, shape (n, d), would be right")
    return X


def names_of(X: Any, names: Sequence[str] | None = None) -> list[str]:
    """The names of the columns: those of the frame, those given, or x0, x1, ..."""
    if is_frame(X):
        return [str(name) for name in X.columns]
    found = [f"x{j}" for j in range(X.shape[1])] if names is None else [str(name) for name in names]
    if len(found) != X.shape[1]:
        raise BadInput("names", f"{len(found)} came for {X.shape[1]} features", "one per feature would be right")
    return found


def directions_of(directions: Any, X: Any, names: Sequence[str]) -> tuple[int, ...]:
    """One direction per column; None is free everywhere. A column without an order has no direction."""
    found = as_directions(0 if directions is None else directions, len(names), names)
    for j, direction in enumerate(found):
        if direction and order_of(X, j) is None:
            right = "numbers or ordered categories would be right"
            raise BadInput("directions", f"{names[j]!r} has a direction and values without an order", right)
    return found


def with_orders(X: Any, orders: Mapping[int, Sequence[Any]], names: Sequence[str] | None = None) -> Any:
    """A frame in which columns that an estimator was told the order of have ordered categories; X itself if none was.

    Args:
        X: rows, an array or a DataFrame.
        names: of the columns of an array.
        orders: from column to its categories from low to high. An order of pairs is no order of a line: such a column
            is left as it is, but never as numbers, whose own order would be another.
    """
    if not orders:
        return X
    pandas = require("pandas", "audit")
    found = X.copy() if is_frame(X) else pandas.DataFrame(X, columns=names_of(X, names)).infer_objects()
    for j, order in orders.items():
        column = found.iloc[:, j]
        seen = [] if is_line(order) else [level for pair in order for level in pair] + column.dropna().tolist()
        levels = list(order) if is_line(order) else list(dict.fromkeys(seen))
        found.isetitem(j, pandas.Categorical(column, categories=levels, ordered=is_line(order)))
    return found


def orders_of(estimator: Any, names: Sequence[str]) -> dict[int, Sequence[Any]]:
    """The orders of categories that an estimator of ours was told, by number of column."""
    given = estimator.get_params().get("category_orders") or {}
    return {
        int(key) if isinstance(key, int | np.integer) else places(str(key), names)[0]: order
        for key, order in given.items()
    }


def is_line(order: Sequence[Any]) -> bool:
    """Whether it lists categories from low to high; else it is pairs (lower, higher)."""
    return not all(isinstance(entry, list | tuple) and len(entry) == 2 for entry in order)


def places(features: Any, names: Sequence[str]) -> list[int]:
    """Columns by name or number; None is all of them."""
    if features is None:
        return list(range(len(names)))
    found = []
    for feature in [features] if isinstance(features, str | int) else features:
        if isinstance(feature, str):
            if feature not in names:
                raise NoMatch("features", feature, names, "feature")
            found.append(list(names).index(feature))
        elif not -len(names) <= feature < len(names):
            raise BadInput("features", f"column {feature} came", f"0 to {len(names) - 1} would be right")
        else:
            found.append(int(feature) % len(names))
    return found


def order_of(X: Any, j: int) -> NDArray[np.float64] | None:
    """The values of a column as numbers in their order, NaN where missing; None if they have no order."""
    if not is_frame(X):
        column = X[:, j]
        if column.dtype.kind in "biuf":
            return column.astype(np.float64)  # type: ignore[no-any-return]
        try:
            return column.astype(np.float64)  # type: ignore[no-any-return]
        except (TypeError, ValueError):
            return None
    column = X.iloc[:, j]
    if hasattr(column, "cat"):
        codes = column.cat.codes.to_numpy().astype(np.float64)
        return np.where(codes < 0, np.nan, codes) if column.cat.ordered else None
    if column.dtype.kind not in "biuf":  # pandas' own types have the kinds of NumPy's
        return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)  # type: ignore[no-any-return]


def cells(X: Any, j: int) -> Any:
    """The values of a column, in an array that keeps its type."""
    return X.iloc[:, j].array if is_frame(X) else X[:, j]


def shown(cell: Any) -> str:
    """A value for a reader.

    >>> shown(0.30000000000000004), shown(2.0), shown(1234567.0), shown("rent"), shown(float("nan"))
    ('0.3', '2', '1234567', 'rent', 'missing')
    """
    if cell is None or str(cell) in {"nan", "NaT", "<NA>"}:
        return "missing"
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell == round(cell) and abs(cell) < 1e15 else f"{cell:.4g}"
    return str(cell)


def plain(cell: Any) -> Any:
    """A value as JSON has it: no NumPy types, no NaN."""
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if shown(cell) == "missing":
        return None
    return cell if isinstance(cell, bool | int | float | str) else str(cell)


def words_as_categories(X: Any) -> Any:
    """Columns of words in pandas' type for categories, which scikit-learn's trees read."""
    if not is_frame(X):
        return X
    words = [j for j, kind in enumerate(X.dtypes) if not hasattr(kind, "categories") and kind.kind not in "biufcmM"]
    X = X.copy() if words else X
    for j in words:
        X.isetitem(j, X.iloc[:, j].astype(object).astype("category"))
    return X


def is_missing(X: Any, j: int) -> bool:
    """Whether nothing stands in a column."""
    order = order_of(X, j)
    return bool(np.isnan(order).all()) if order is not None else all(plain(cell) is None for cell in cells(X, j))


def take(X: Any, rows: Any) -> Any:
    """These rows, in this order, as often as they are named."""
    return X.iloc[rows].reset_index(drop=True) if is_frame(X) else X[rows]


def put(X: Any, j: int, values: Any) -> Any:
    """A copy with another column `j`."""
    if not is_frame(X):
        X = X.copy()
        X[:, j] = values
        return X
    X, dtype = X.copy(), X.dtypes.iloc[j]
    kind = dtype if hasattr(dtype, "categories") else None
    X.isetitem(j, require("pandas", "audit").Series(values, index=X.index, dtype=kind))
    return X


def stacked(above: Any, below: Any) -> Any:
    """Two tables of the same columns, one below the other, in types that hold both."""
    if not is_frame(above):
        return np.concatenate([above, below])
    return require("pandas", "audit").concat([above, below], ignore_index=True)


def chosen(X: Any, rows: NDArray[np.int64]) -> Any:
    """Cell j of row i of the result is cell j of row `rows[i, j]` of X."""
    if not is_frame(X):
        return X[rows, np.arange(X.shape[1])]
    pandas = require("pandas", "audit")
    columns = {name: X.iloc[:, j].array.take(rows[:, j]) for j, name in enumerate(X.columns)}
    return pandas.DataFrame(columns, columns=X.columns)


def one_row(row: Any, X: Any, names: Sequence[str], where: str = "baseline") -> Any:
    """A single row in the kind of X: from a mapping by name, a sequence, a Series, or a table of one row.

    Raises:
        BadInput: not one row of these features, or a category that the column does not have.
        NoMatch: a name that is not a feature.
    """
    if is_frame(row):
        row = {str(name): row.iloc[:, j].array[0] for j, name in enumerate(row.columns)} if len(row) == 1 else row
    elif hasattr(row, "index") and hasattr(row, "to_dict") and is_frame(X):
        row = {str(name): value for name, value in row.to_dict().items()}
    if isinstance(row, Mapping):
        for name in row:
            if name not in names:
                raise NoMatch(where, str(name), names, "feature")
        if left := [name for name in names if name not in row]:
            raise BadInput(where, f"no value came for {', '.join(left[:3])}", "a value for each feature is right")
        row = [row[name] for name in names]
    values = row if isinstance(row, list | tuple) else np.asarray(row).reshape(-1).tolist()
    if len(values) != len(names):
        raise BadInput(where, f"{len(values)} values came for {len(names)} features", "one row would be right")
    if not is_frame(X):
        array = np.asarray(values)
        return array.astype(np.result_type(array, X) if X.dtype.kind in "biuf" else X.dtype)[None]
    pandas = require("pandas", "audit")
    found = {}
    for j, (name, value) in enumerate(zip(X.columns, values, strict=True)):
        column = X.iloc[:, j]
        gone = shown(value) == "missing"
        if hasattr(column, "cat"):
            if not gone and value not in column.cat.categories:
                raise BadInput(where, f"{value!r} came for {names[j]!r}", f"one of {list(column.cat.categories)[:8]}")
            found[name] = pandas.Categorical([None if gone else value], dtype=column.dtype)
            continue
        try:
            fits = pandas.Series([value]).astype(column.dtype)
            kept = gone or bool(fits.iloc[0] == value)
        except (TypeError, ValueError):
            kept = False
        found[name] = fits.array if kept else pandas.Series([value]).array
    return pandas.DataFrame(found, columns=X.columns)


def score_of(model: Any) -> Score:
    """From a fitted estimator, or a function of rows, to a function of rows that gives one number each.

    Log-odds (`decision_function`) before probabilities of the second class before predictions.

    Raises:
        BadInput: none of these, or a classifier of more than two classes.
    """
    if len(getattr(model, "classes_", ())) > 2:
        do = "Pass a function, such as lambda X: model.decision_function(X)[:, 2]."
        raise BadInput("score", "a classifier of more than two classes came", "one number per row would be right", do)
    if hasattr(model, "decision_function"):
        return model.decision_function  # type: ignore[no-any-return]
    if hasattr(model, "predict_proba"):
        return lambda X: model.predict_proba(X)[:, 1]
    if hasattr(model, "predict"):
        return model.predict  # type: ignore[no-any-return]
    if callable(model):
        return model  # type: ignore[no-any-return]
    raise BadInput("score", f"a {type(model).__name__} came", "a fitted estimator or a function of rows would be right")


def scores(score: Score, X: Any, block: int = BLOCK) -> NDArray[np.float64]:
    """One score per row, asked for in blocks of `block` rows; the last one is filled up with its own last row.

    Raises:
        BadInput: not one number per row, or NaN.
    """
    count, found = len(X), []
    for start in range(0, count, block):
        rows = np.minimum(np.arange(start, start + block), count - 1)
        answer = score(take(X, rows))
        answer = answer.detach().cpu().numpy() if hasattr(answer, "detach") else np.asarray(answer)
        if answer.size != block:
            raise BadInput("score", f"shape {answer.shape} came for {block} rows", "one number per row would be right")
        found.append(answer.reshape(-1).astype(np.float64)[: count - start])
    flat = np.concatenate(found)
    if np.isnan(flat).any():
        raise BadInput("score", "NaN came", "a number for each row would be right")
    return flat
