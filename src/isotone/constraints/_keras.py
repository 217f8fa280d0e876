"""Keras's constraints read as sets: from a saved configuration, a name, or the live object.

- Keras itself is never imported;
- `axis` becomes `dim` by the layout of the layer; what torch's layout cannot say exactly is refused.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..errors import BadInput, NoMatch
from ._base import Constraint
from ._dims import Dims
from ._elementwise import NonNegative
from ._keras_layouts import dim_of
from ._norms import MaxNorm, MinMaxNorm, UnitNorm

Config = dict[str, Any]

_PACKAGES = {"keras", "tf_keras", "keras_core", "tensorflow"}  # where a class of that name is Keras's own


def from_keras(config: object, module: nn.Module | None = None, name: str | None = None) -> Constraint:
    """The set that a Keras constraint describes, for a layer of torch.

    Keras stores a weight in another order than torch: its `axis=0` of a Dense kernel is the last dimension of
    `nn.Linear.weight`, of a Conv2D kernel it is the rows of the filter, and of an Embedding the whole vocabulary. So a
    constraint with an axis needs the layer. That is taken for the Keras layer of its kind, and the set means exactly
    what it meant there. Whether that was what was wanted is not judged: `axis=0`, Keras's default, seldom is outside
    Dense.

    Args:
        config: what `keras.constraints.serialize` or `layer.get_config()["kernel_constraint"]` gives, in Keras 3 or 2:
            `{"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}}`; or a name, `"max_norm"` or `"MaxNorm"`,
            with Keras's default values; or the constraint itself, or its class.
        module: the layer that is to be held. `NonNeg` needs none.
        name: which of its parameters, if not the kernel: `"bias"`, `"q_proj_weight"`.

    Returns:
        `NonNegative`, `MaxNorm`, `UnitNorm` or `MinMaxNorm` (with Keras's `rate`), to be handed to `constrain`. Keras
        projects in plain least squares under every optimizer: `constrain(..., metric="euclidean")` does the same.
        Unlike Keras's, weights inside are not shrunk, and a vector of zeros is not left too short.

    Raises:
        NoMatch: Keras has no constraint of that name, or the layer no such parameter.
        BadInput: it is None or the base class, which constrain nothing; it is a custom constraint or RadialConstraint;
            its arguments are not those of its class; an axis came without a layer, or is not exactly some dimensions of
            the layer's weight (`axis=1` of an attention's kernel, grouped transposed convolutions, layers that Keras
            does not have).

    Source: keras/src/constraints/constraints.py, Keras 3.15; layouts from the `build` of each layer.

    >>> saved = {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": [0, 1, 2]}}
    >>> isotone.from_keras(saved, nn.Conv2d(3, 8, 5))
    MaxNorm(max=2, dim=(-3, -2, -1))
    >>> isotone.from_keras("unit_norm", nn.Linear(3, 8)), isotone.from_keras("non_neg")
    (UnitNorm(dim=-1), NonNegative())
    """
    kind, given = _read(config)
    values = _arguments(kind, given)
    dim = dim_of(kind, _axis(kind, values["axis"]), module, name) if "axis" in values else None
    return _SETS[kind][1](values, dim)


def _min_max(values: Config, dim: Dims) -> Constraint:
    if values["min_value"] == values["max_value"] == values["rate"] == 1:
        return UnitNorm(dim)
    return MinMaxNorm(values["min_value"], values["max_value"], values["rate"], dim)


# fmt: off
_SETS: dict[str, tuple[Config, Callable[[Config, Dims], Constraint]]] = {
    # Keras's     its arguments, with their defaults                           what it is here
    "NonNeg":     ({},                                                         lambda _, __: NonNegative()),
    "MaxNorm":    ({"max_value": 2, "axis": 0},                                lambda v, d: MaxNorm(v["max_value"], d)),
    "UnitNorm":   ({"axis": 0},                                                lambda _, d: UnitNorm(d)),
    "MinMaxNorm": ({"min_value": 0, "max_value": 1, "rate": 1.0, "axis": 0},   _min_max),
}
_NAMES = {  # Keras 3 and 2, and the oldest spelling
    "NonNeg": "NonNeg",         "non_neg": "NonNeg",          "nonneg": "NonNeg",
    "MaxNorm": "MaxNorm",       "max_norm": "MaxNorm",        "maxnorm": "MaxNorm",
    "UnitNorm": "UnitNorm",     "unit_norm": "UnitNorm",      "unitnorm": "UnitNorm",
    "MinMaxNorm": "MinMaxNorm", "min_max_norm": "MinMaxNorm", "minmaxnorm": "MinMaxNorm",
    "RadialConstraint": "RadialConstraint", "radial_constraint": "RadialConstraint",
    "Constraint": "Constraint", "constraint": "Constraint",
}
# fmt: on


def _read(config: object) -> tuple[str, Mapping[str, Any]]:
    """The name of Keras's class, and the arguments that were given."""
    given: object = {}
    if config is None:
        kind = "Constraint"
    elif isinstance(config, str):
        kind = _kind(config)
    elif isinstance(config, Mapping):
        if not isinstance(config.get("class_name"), str):
            raise BadInput(
                "from_keras",
                f"a dict with the keys {sorted(map(str, config))} came",
                "one with 'class_name' and 'config', as keras.constraints.serialize gives it, is right",
            )
        registered = config.get("registered_name") or config["class_name"]
        where = config.get("module") or ("keras" if ">" not in str(registered) else registered)
        kind = _own(config["class_name"], str(where), str(registered))
        given = config.get("config") or {}
    elif isinstance(config, type) or hasattr(config, "get_config"):
        of = config if isinstance(config, type) else type(config)
        kind = _own(of.__name__, of.__module__, of.__qualname__)
        given = {} if isinstance(config, type) else config.get_config()
    else:
        raise BadInput(
            "from_keras",
            f"a {type(config).__name__} came",
            "a saved configuration, a name such as 'max_norm', or a Keras constraint is right",
            "What a function does is not known: write it as the `project` of an isotone.Constraint.",
        )
    if not isinstance(given, Mapping):
        raise BadInput(
            "from_keras", f"the 'config' of {kind} is a {type(given).__name__}", "a dict of its arguments is right"
        )
    if kind == "Constraint":
        came = "None" if config is None else "Keras's base class Constraint"
        raise BadInput("from_keras", f"{came} came, which constrains nothing", "to leave that weight unheld is right")
    if kind == "RadialConstraint":
        raise BadInput(
            "from_keras",
            "RadialConstraint came, which Keras 3 has dropped",
            "a kernel that is built in `forward` from one parameter per ring would be right",
        )
    return kind, given


def _own(kind: str, package: str, full_name: str) -> str:
    if package.partition(".")[0] not in _PACKAGES:
        raise BadInput(
            "from_keras",
            f"the custom constraint {full_name!r} came",
            f"one of Keras's own ({', '.join(_SETS)}) would be right",
            "Write what it does as the `project` of an isotone.Constraint.",
        )
    return _kind(kind)


def _kind(name: str) -> str:
    if name not in _NAMES:
        raise NoMatch("from_keras", name, _SETS, "Keras constraint")
    return _NAMES[name]


def _arguments(kind: str, given: Mapping[str, Any]) -> Config:
    values = dict(_SETS[kind][0])
    unknown = sorted(set(given) - set(values))
    if unknown:
        raise BadInput(
            "from_keras", f"{kind} came with {', '.join(unknown)}", f"its arguments are {', '.join(values) or 'none'}"
        )
    values.update(given)
    for key, value in values.items():
        if key == "axis":
            continue
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise BadInput("from_keras", f"{kind}({key}={value!r}) came", "a number is right")
        values[key] = int(value) if isinstance(value, numbers.Integral) else float(value)
    return values


def _axis(kind: str, axis: object) -> tuple[int, ...] | None:
    """Keras takes a number, several, or None: all. Its old JSON spells a tuple out."""
    if isinstance(axis, Mapping) and axis.get("class_name") == "__tuple__":
        axis = axis.get("items")
    if axis is None:
        return None
    several = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    if not several or not all(isinstance(each, numbers.Integral) and not isinstance(each, bool) for each in several):
        raise BadInput("from_keras", f"{kind}(axis={axis!r}) came", "whole numbers, or None for all axes, are right")
    return tuple(int(each) for each in several)
