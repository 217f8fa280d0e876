"""A call of `certify`, checked and brought into one form: per input a tensor of examples, directions, low and high."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..verdict import Domain
from ._facts import INF, Fact

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Question:
    """What is asked. All tuples have one entry per input, all tensors the shape of that input.

    Args:
        inputs: the example, with at least two rows.
        directions: float64, entries -1, 0, +1.
        low, high: the domain, float64; infinite where there is none.
        given: whether a domain was given for that input.
        signs: what is claimed of each element of the score, in the score's shape: +1 it does not fall, -1 it does not
            rise, 0 nothing. None: +1 for all.
    """

    inputs: tuple[Tensor, ...]
    directions: tuple[Tensor, ...]
    low: tuple[Tensor, ...]
    high: tuple[Tensor, ...]
    given: tuple[bool, ...]
    signs: Tensor | None = None

    def claimed(self, shapes: Sequence[torch.Size]) -> list[Tensor]:
        """The signs, one tensor per part of the score; the parts are those that a model returns, in their order.

        Raises:
            ValueError: the parts have not as many elements as the score.
        """
        if self.signs is None:
            return [torch.ones(shape, dtype=torch.float64) for shape in shapes]
        flat, sizes = self.signs.reshape(-1), [shape.numel() for shape in shapes]
        if sum(sizes) != flat.numel():
            raise ValueError("the graph gives other outputs than the model")
        parts = torch.split(flat, sizes)
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def facts(self) -> list[Fact]:
        """What is known of the inputs."""
        return [
            Fact(low, high, (d > 0) & (low < high), (d < 0) & (low < high), x.dtype)
            for x, d, low, high in zip(self.inputs, self.directions, self.low, self.high, strict=True)
        ]


@dataclass(frozen=True)
class Claim:
    """A question about some columns of the score; `name` says which, "" for all."""

    name: str
    question: Question


def claims(inputs: Any, directions: Any, domain: Any, outputs: Any, score: Callable[[Inputs], Tensor]) -> list[Claim]:
    """What is asked, as questions that each have one direction per input element.

    Args:
        inputs, domain: as of `asked`.
        directions: as of `asked`, or a dictionary {column of the score: directions}.
        outputs: None, or +1, -1, 0 per column of the score (a number or an array that broadcasts to the score).
        score: the model as a function, for the shape of its score.

    Raises:
        BadInput: what was handed in does not fit together.
    """
    if not isinstance(directions, Mapping):
        question = asked(inputs, directions, domain)
        return [
            Claim(
                "", question if outputs is None else replace(question, signs=_signs(outputs, shape_of(score, question)))
            )
        ]
    if outputs is not None:
        raise BadInput("outputs", "it came beside a dictionary of directions", "one of them would be right")
    shape = shape_of(score, asked(inputs, 0, domain))
    columns = shape[-1] if len(shape) > 1 else 0
    for column in directions:
        if not (isinstance(column, int) and 0 <= column < columns):
            raise BadInput(
                "directions", f"the key {column!r} came for a score of shape {tuple(shape)}", "its columns count from 0"
            )
    if not directions:
        raise BadInput("directions", "an empty dictionary came", "one entry per column of the score would be right")
    made = []
    for column, ways in directions.items():
        signs = torch.zeros(shape, dtype=torch.float64)
        signs[..., column] = 1.0
        made.append(Claim(f"column {column}", replace(asked(inputs, ways, domain), signs=signs)))
    return made


def shape_of(score: Callable[[Inputs], Tensor], question: Question) -> torch.Size:
    """The shape of the score, if the model takes its example."""
    try:
        return score(question.inputs).shape
    except Exception as fault:
        said = (str(fault).strip().splitlines() or [""])[0][:120]
        raise BadInput(
            "inputs", f"the model does not take the example ({type(fault).__name__}: {said})", "it must run on it"
        ) from None


def _signs(outputs: Any, shape: torch.Size) -> Tensor:
    try:
        signs = torch.as_tensor(outputs, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        raise BadInput("outputs", f"{type(outputs).__name__} came", "numbers -1, 0 and +1 would be right") from None
    if not bool(((signs == 0) | (signs.abs() == 1)).all()):
        raise BadInput("outputs", "other numbers came", "each is +1 (must not fall), -1 (must not rise) or 0 (any)")
    try:
        return signs.expand(shape)
    except RuntimeError:
        came = f"shape {tuple(signs.shape)} came for a score of shape {tuple(shape)}"
        raise BadInput("outputs", came, "a shape that broadcasts to the score would be right") from None


def asked(inputs: Any, directions: Any, domain: Any) -> Question:
    """The question in one form.

    Raises:
        BadInput: what was handed in does not fit together.
    """
    given = examples(inputs)
    count = len(given)
    wanted = _per_input(directions, count, "directions")
    domains = _per_input(domain, count, "domain")
    ways = tuple(_direction(d, x, i) for i, (d, x) in enumerate(zip(wanted, given, strict=True)))
    bounds = [_bounds(d, x, way, i) for i, (d, x, way) in enumerate(zip(domains, given, ways, strict=True))]
    return Question(
        inputs=given,
        directions=ways,
        low=tuple(b[0] for b in bounds),
        high=tuple(b[1] for b in bounds),
        given=tuple(d is not None for d in domains),
    )


def examples(inputs: Any) -> Inputs:
    """The example as a tuple of tensors, copied; one row is repeated, for a trace would freeze the number to one."""
    given = _inputs(inputs)
    single = {x.shape[0] for x in given if x.dim()} == {1}
    return tuple(
        x.detach().repeat(2, *[1] * (x.dim() - 1)) if single and x.dim() else x.detach().clone() for x in given
    )


def _inputs(inputs: Any) -> tuple[Tensor, ...]:
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs) if isinstance(inputs, list | tuple) else ()
    right = "a tensor, or a tuple with one tensor per input of the model, would be right"
    if not given or not all(isinstance(x, Tensor) for x in given):
        kinds = ", ".join(sorted({type(x).__name__ for x in given})) or type(inputs).__name__
        raise BadInput("inputs", f"{kinds} came", right)
    for i, x in enumerate(given):
        if x.is_complex() or x.is_quantized or x.layout is not torch.strided:
            raise BadInput(f"inputs[{i}]", f"dtype {x.dtype}, layout {x.layout} came", "real dense numbers are right")
        if not x.numel():
            raise BadInput(f"inputs[{i}]", f"an empty tensor of shape {tuple(x.shape)} came", "an example needs a row")
        if not bool(torch.isfinite(x).all()):
            raise BadInput(f"inputs[{i}]", "infinite or NaN entries came", "an example is made of finite numbers")
    return given


def _per_input(value: Any, count: int, where: str) -> tuple[Any, ...]:
    """One entry per input: a single input takes its entry also without a tuple around it."""
    if value is None or (where == "directions" and isinstance(value, int | float)):
        return (value,) * count
    if count == 1:
        wrapped = isinstance(value, list | tuple) and len(value) == 1
        return (value[0],) if wrapped else (value,)
    if not isinstance(value, list | tuple) or len(value) != count:
        came = f"{len(value)} entries" if isinstance(value, list | tuple) else type(value).__name__
        raise BadInput(where, f"{came} came for {count} inputs", "a tuple with one entry per input would be right")
    return tuple(value)


def _direction(direction: Any, x: Tensor, i: int) -> Tensor:
    where = f"directions[{i}]"
    try:
        way = torch.as_tensor(direction, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(where, f"{type(direction).__name__} came", "numbers -1, 0 and +1 would be right") from None
    if not bool(((way == 0) | (way.abs() == 1)).all()):
        raise BadInput(where, "other numbers came", "each is +1 (increasing), -1 (decreasing) or 0 (free)")
    try:
        return way.expand(x.shape)
    except RuntimeError:
        came = f"shape {tuple(way.shape)} came for an input of shape {tuple(x.shape)}"
        raise BadInput(where, came, "a shape that broadcasts to the input would be right") from None


def _bounds(domain: Any, x: Tensor, way: Tensor, i: int) -> tuple[Tensor, Tensor]:
    where = f"domain[{i}]"
    if domain is None:
        return _whole_type(x, way)
    if isinstance(domain, Sequence) and len(domain) == 2:
        low, high = domain
        domain = Domain(-INF if low is None else _number(low, where), INF if high is None else _number(high, where))
    if not isinstance(domain, Domain):
        raise BadInput(where, f"{type(domain).__name__} came", "a Domain, a pair (low, high) or None would be right")
    try:
        low, high = (b.clone().cpu() for b in domain.bounds(x))
    except ValueError:
        raise BadInput(where, "a low above its high came, or NaN", "low <= high everywhere would be right") from None
    except RuntimeError:
        raise BadInput(
            where, "bounds came that do not broadcast to the input", f"their shape must fit {tuple(x.shape)}"
        ) from None
    if not bool(((x.cpu().double() >= low) & (x.cpu().double() <= high)).all()):
        raise BadInput(where, "the example lies outside", "an example inside its domain would be right")
    if not x.dtype.is_floating_point:
        # Beyond 2**53 float64 holds every second whole number only, so the domain would not be the one that was meant.
        if bool(((torch.stack([low, high]).abs() >= 2.0**53) & (torch.stack([low, high]).abs() < 2.0**63)).any()):
            raise BadInput(where, "whole numbers of 2**53 or more came as bounds", "smaller ones, or None, are right")
        least, most = _whole_type(x, torch.ones_like(way))
        low, high = torch.maximum(low.ceil(), least), torch.minimum(high.floor(), most)
    return low, high


def _number(bound: Any, where: str) -> Any:
    if isinstance(bound, int | float | Tensor):
        return bound
    try:
        return torch.as_tensor(bound, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(where, f"{type(bound).__name__} came as a bound", "numbers or arrays would be right") from None


def _whole_type(x: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    """All values of a dtype. Whole numbers that do not move stay open: what uses them says what it needs."""
    if x.dtype is torch.bool:
        low, high = 0.0, 1.0
    elif x.dtype.is_floating_point:
        low, high = -INF, INF
    else:
        info = torch.iinfo(x.dtype)
        low, high = float(info.min), float(info.max)
    lows, highs = (torch.full(x.shape, b, dtype=torch.float64) for b in (low, high))
    if not x.dtype.is_floating_point and x.dtype is not torch.bool:
        lows, highs = torch.where(way == 0, -INF, lows), torch.where(way == 0, INF, highs)
    return lows, highs
