"""From whatever was handed in as `predict` to one function: rows in, one float64 score per row out.

- says which of a model's answers it reads;
- two columns that sum to one, or any others without `output`, are an error, not a guess;
- knows models' faces only, nothing of what is inside.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import BadInput, NoMatch, require

Scores = NDArray[np.float64]
Output = int | str | None


@dataclass(frozen=True)
class Face:
    """What a model was asked.

    Args:
        call: rows to whatever the model answers.
        said: how to call it, for the reader.
        classes: names of the columns, where the model knows them.
        positive: the answer has a column per class, and of two the second is meant.
    """

    call: Callable[[Any], Any]
    said: str
    classes: tuple[str, ...] = ()
    positive: bool = False


@dataclass(frozen=True)
class Score:
    """One number per row.

    Args:
        call: rows to scores, shape (rows,), float64.
        said: what is read, for the reader.
        precision: the relative step of the numbers that the model answers with.
        column: which of several columns it is; None where there is one.
    """

    call: Callable[[Any], Scores]
    said: str
    precision: float
    column: int | None


def score_of(predict: Any, sample: Any, output: Output) -> Score:
    """The score that `predict` means, tried on a few rows.

    Raises:
        BadInput: nothing that can be called, a call that fails, several columns and no `output`.
        NoMatch: no column of that name.
    """
    face = _face(predict)
    try:
        raw = face.call(sample)
    except Exception as fault:
        said = (
            f"{type(fault).__name__}: {str(fault).strip().splitlines()[0] if str(fault).strip() else 'no reason given'}"
        )
        right = f"a function that takes rows in the kind of X ({type(sample).__name__}) would be right"
        raise BadInput(
            "audit", f"{face.said} failed on the first rows of X ({said[:300].rstrip('.')})", right
        ) from fault
    rows = sample.shape[0] if hasattr(sample, "shape") else len(sample)
    table, names = _table(raw, rows, face)
    column, named = _column(table, names or face.classes, face, output)

    def call(x: Any) -> Scores:
        count = x.shape[0] if hasattr(x, "shape") else len(x)
        return _table(face.call(x), count, face)[0][:, column].astype(np.float64)

    # A table of bfloat16 is one of float32 here.
    half = isinstance(raw, torch.Tensor) and raw.dtype is torch.bfloat16
    precision = torch.finfo(torch.bfloat16).eps if half else _precision(table[:, column])
    return Score(call, face.said + named, precision, None if table.shape[1] == 1 else column)


def _precision(column: NDArray[Any]) -> float:
    """eps of the type, or of a narrower one whose numbers it only carries.

    Whole numbers, and multiples of a power of 1/2 such as votes, fit into narrower types too, and say nothing of how
    they were computed: what tells is that the last bits of the narrower type are in use.
    """
    if column.dtype.kind != "f":
        return float(np.finfo(np.float64).eps)
    known = column[np.isfinite(column)]
    for narrow, digits in ((np.float16, 12), (np.float32, 22)):
        with np.errstate(over="ignore"):
            if column.dtype == narrow or (
                known.size > 4
                and np.unique(known).size > 2
                and (known.astype(narrow) == known).all()
                and _digits(known) > digits
            ):
                return float(np.finfo(narrow).eps)
    return float(np.finfo(np.float64).eps)


def _digits(values: NDArray[Any]) -> int:
    """Binary digits from the first of the largest number to the last of any: of whole numbers up to 1,000 ten."""
    fraction, exponent = np.frexp(values[values != 0].astype(np.float64))
    whole = np.abs(fraction * 2.0**53).astype(np.int64)
    last = exponent - 53 + np.log2(whole & -whole).astype(np.int64)
    return int(exponent.max() - last.min()) if len(whole) else 0


def _table(raw: Any, rows: int, face: Face) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The answer as (rows, columns), and the names of its columns if it has any."""
    names: tuple[str, ...] = ()
    if (
        isinstance(raw, list | tuple) and raw and all(isinstance(one, dict) for one in raw)
    ):  # what skl2onnx calls zipmap
        names = tuple(str(key) for key in raw[0])
        raw = [list(one.values()) for one in raw]
    if hasattr(raw, "columns"):
        names = tuple(str(name) for name in raw.columns)
    if isinstance(raw, torch.Tensor):
        raw = raw.detach().cpu().float().numpy() if raw.dtype in (torch.bfloat16,) else raw.detach().cpu().numpy()
    table = np.asarray(raw.toarray() if hasattr(raw, "toarray") else raw)
    if table.dtype == object:
        with contextlib.suppress(TypeError, ValueError):
            table = table.astype(np.float64)
    if table.dtype.kind not in "biuf":
        raise BadInput(
            face.said, f"{table.dtype} came back", "numbers would be right", "Give a function that returns scores."
        )
    if table.ndim == 0 or table.shape[0] != rows or table.size == 0:
        raise BadInput(face.said, f"shape {table.shape} came back for {rows} rows", f"({rows},) would be right")
    return table.reshape(rows, -1), names


def _column(table: NDArray[Any], names: Sequence[str], face: Face, output: Output) -> tuple[int, str]:
    """Which column is the score, and how to say so."""
    width = table.shape[1]
    names = tuple(names) if len(names) == width else ()
    if output is None:
        if width == 1:
            return 0, ""
        if face.positive and width == 2:
            return 1, f", class {names[1]}" if names else ", column 1"
        listed = f"columns {', '.join(names[:6])}{', ...' if width > 6 else ''}" if names else f"{width} columns"
        if width == 2 and bool(np.allclose(table.astype(np.float64).sum(axis=1), 1.0, atol=1e-4)):
            raise BadInput(
                "audit",
                f"{face.said} returns two columns that sum to one",
                "one of them is the score, and what raises the one lowers the other",
                f"Say which with output= (0 or 1{', or by name' if names else ''}).",
            )
        raise BadInput(
            "audit", f"{face.said} returns {listed}", "one score per row would be right", "Say which with output=."
        )
    if isinstance(output, str) and output in names:
        return names.index(output), f", column {output}"
    with contextlib.suppress(ValueError):
        place = int(output)
        if -width <= place < width and not isinstance(output, bool):
            return place % width, f", class {names[place]}" if names else f", column {place % width}"
    if names and isinstance(output, str):
        raise NoMatch("output", output, names, "column")
    raise BadInput("output", f"{output!r} came", f"a number from 0 to {width - 1} would be right")


def _face(predict: Any) -> Face:
    """How to ask it. What is known of a package is looked up only where that package is already loaded."""
    if isinstance(predict, str | Path):
        predict = _session(predict)
    name = type(predict).__name__
    for known, face in (
        (_is("torch.nn", "Module"), _torch_face),
        (_is("onnxruntime", "InferenceSession"), _onnx_face),
        (_is("xgboost", "Booster"), _xgboost_face),
    ):
        if isinstance(predict, known):
            return face(predict)
    if isinstance(predict, type):
        raise BadInput("audit", f"the class {predict.__name__} came", "a fitted object or a function would be right")
    classes = tuple(str(one) for one in _classes(predict))
    for method in ("predict_proba", "decision_function", "predict"):
        # hasattr runs code: a pipeline without the method raises, and so does an SVC without probabilities.
        if callable(getattr(predict, method, None)):
            positive = method == "predict_proba" and len(classes) == 2
            library = type(predict).__module__.split(".")[0]
            called = f"{library}'s {name}" if name == "Booster" else name
            return Face(getattr(predict, method), f"{method} of {called}", classes, positive)
    if callable(predict):
        return Face(predict, getattr(predict, "__name__", name))
    raise BadInput(
        "audit",
        f"{name} came",
        "a function from rows to scores, a fitted estimator, a Booster, a torch module or an .onnx file would be right",
    )


def _classes(predict: Any) -> Sequence[Any]:
    try:
        found = predict.classes_
    except Exception:  # a property of a pipeline, and of a booster that is not fitted
        return ()
    return list(found) if np.ndim(found) == 1 else ()


def _is(module: str, name: str) -> Any:
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else ()


def _torch_face(model: torch.nn.Module) -> Face:
    weight = next((p for p in model.parameters() if p.dtype.is_floating_point), torch.zeros(()))

    def call(x: Any) -> Any:
        with torch.no_grad():
            dense = x.toarray() if hasattr(x, "toarray") else np.asarray(x)
            tensor = torch.from_numpy(np.ascontiguousarray(dense))
            return model(tensor.to(weight) if tensor.dtype.is_floating_point or tensor.dtype is torch.bool else tensor)

    mode = "train" if model.training else "eval"
    return Face(call, f"{type(model).__name__} in {mode} mode")


def _session(path: str | Path) -> Any:
    runtime = require("onnxruntime", "audited")
    if not Path(path).is_file():
        raise BadInput(str(path), "there is no such file", "the path of an .onnx file would be right")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as fault:
        raise BadInput(
            str(path), f"onnxruntime cannot load it ({type(fault).__name__})", "an ONNX model is right"
        ) from fault


ONNX_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


def _onnx_face(session: Any) -> Face:
    """The last output: of a classifier the probabilities, of a regressor the value."""
    inputs, answer = session.get_inputs(), session.get_outputs()[-1].name

    def call(x: Any) -> Any:
        if len(inputs) == 1:
            table = x.toarray() if hasattr(x, "toarray") else np.asarray(x)
            feed = {inputs[0].name: np.ascontiguousarray(table.astype(ONNX_TYPES.get(inputs[0].type, np.float32)))}
        else:
            feed = {one.name: np.asarray(x[one.name]).astype(ONNX_TYPES[one.type])[:, None] for one in inputs}
        return session.run([answer], feed)[0]

    return Face(call, f"output {answer!r} of an ONNX model")


def _xgboost_face(booster: Any) -> Face:
    matrix = require("xgboost", "audited").DMatrix

    def call(x: Any) -> Any:
        return booster.predict(matrix(x, enable_categorical=True))

    return Face(call, "predict of an XGBoost Booster")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the model's floating-point warnings: values at the ends of a type are our doing, not the user's."""
    with np.errstate(all="ignore"):
        yield
