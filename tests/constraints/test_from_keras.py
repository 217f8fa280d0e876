"""`from_keras`: every form that Keras saves, every layer's axes, and what cannot be said in torch."""

# ruff: noqa: E501 (rows of a table)
from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isotone import MaxNorm, MinMaxNorm, NonNegative, UnitNorm, from_keras
from isotone.errors import BadInput, IsotoneError, NoMatch

LINEAR = nn.Linear(4, 3)
UNIT = {"class_name": "UnitNorm", "config": {"axis": [0, 1, 2]}}


def saved(kind: str, *, module: str | None = "keras.constraints", name: str | None = None, **config: Any) -> Any:
    """As `keras.constraints.serialize` of Keras 3 gives it."""
    return {"module": module, "class_name": kind, "config": config, "registered_name": name}


def tuple_in_json(*items: int) -> Any:
    return {"class_name": "__tuple__", "items": list(items)}


# fmt: off
FORMS = [
    # what was saved                                                    what it is                        why
    (saved("NonNeg"),                                                   NonNegative(),                    "Keras 3"),
    (saved("MaxNorm", max_value=3, axis=0),                             MaxNorm(3, dim=-1),               "Keras 3"),
    (saved("UnitNorm", axis=0),                                         UnitNorm(dim=-1),                 "Keras 3"),
    (saved("MinMaxNorm", min_value=1, max_value=2, rate=0.7, axis=1),   MinMaxNorm(1, 2, 0.7, dim=-2),    "with a rate"),
    (saved("MaxNorm", module="keras.src", name="MaxNorm"),              MaxNorm(2, dim=-1),               "registered"),
    ({"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}},  MaxNorm(2, dim=-1),               "Keras 2"),
    ({"class_name": "max_norm", "config": {"max_value": 2.5}},          MaxNorm(2.5, dim=-1),             "no axis"),
    ({"class_name": "NonNeg", "config": None},                          NonNegative(),                    "no arguments"),
    ({"class_name": "NonNeg"},                                          NonNegative(),                    "no config"),
    (saved("MaxNorm", axis=[0]),                                        MaxNorm(2, dim=-1),               "a list of one"),
    (saved("MaxNorm", axis=(0, 1)),                                     MaxNorm(2, dim=(-2, -1)),         "a tuple"),
    (saved("MaxNorm", axis=tuple_in_json(0, 1)),                        MaxNorm(2, dim=(-2, -1)),         "in Keras 2's JSON"),
    (saved("MaxNorm", axis=-2),                                         MaxNorm(2, dim=-1),               "from the end"),
    (saved("MaxNorm", axis=None),                                       MaxNorm(2, dim=None),             "all axes"),
    (saved("MaxNorm", max_value=np.float32(3), axis=np.int64(0)),       MaxNorm(3.0, dim=-1),             "numpy's numbers"),
    (saved("MinMaxNorm", min_value=1, max_value=1),                     UnitNorm(dim=-1),                 "bounds that are one"),
    ("NonNeg",                                                          NonNegative(),                    "a class's name"),
    ("non_neg",                                                         NonNegative(),                    "an alias"),
    ("nonneg",                                                          NonNegative(),                    "an old alias"),
    ("max_norm",                                                        MaxNorm(2, dim=-1),               "2, axis 0"),
    ("MaxNorm",                                                         MaxNorm(2, dim=-1),               "a class's name"),
    ("unit_norm",                                                       UnitNorm(dim=-1),                 "axis 0"),
    ("min_max_norm",                                                    MinMaxNorm(0, 1, 1.0, dim=-1),    "0 to 1, axis 0"),
]
# fmt: on


@pytest.mark.parametrize(("config", "right", "why"), FORMS)
def test_a_saved_form_is_read(config, right, why):
    assert from_keras(config, LINEAR) == right, why


def test_non_neg_and_all_axes_need_no_layer():
    assert from_keras("non_neg") == NonNegative()
    assert from_keras(saved("UnitNorm", axis=None)) == UnitNorm(dim=None)


def test_keras_is_never_imported():
    code = "import sys, isotone; isotone.from_keras('non_neg'); print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


ATTENTION = nn.MultiheadAttention(8, 2)
OWN = "one of Keras's own (NonNeg, MaxNorm, UnitNorm, MinMaxNorm) would be right. Write what it does as the `project`"
# fmt: off
REFUSED = [
    # config                                                layer         what is said
    (None,                                                  LINEAR,       "None came, which constrains nothing; to leave"),
    (saved("Constraint"),                                   LINEAR,       "base class Constraint came, which constrains"),
    ("typo",                                                LINEAR,       "'typo' matches no Keras constraint. Keras constr"),
    ("max_nrom",                                            LINEAR,       "'max_nrom' matches no Keras constraint."),
    ({"class_name": "MaxNrom", "config": {}},               LINEAR,       "Did you mean 'MaxNorm'?"),
    (saved("RadialConstraint"),                             LINEAR,       "RadialConstraint came, which Keras 3 has dropped;"
                                                                          " a kernel that is built in `forward`"),
    ("radial_constraint",                                   LINEAR,       "RadialConstraint came, which Keras 3 has dropped"),
    (saved("MaxNorm", module=None, name="mine>MaxNorm"),    LINEAR,       f"the custom constraint 'mine>MaxNorm' came; {OWN}"),
    (saved("Clip", module="my.package", name="Clip"),       LINEAR,       "the custom constraint 'Clip' came"),
    ({"class_name": "mine>Clip", "config": {}},             LINEAR,       "the custom constraint 'mine>Clip' came"),
    ({"max_value": 2, "axis": 0},                           LINEAR,       "a dict with the keys ['axis', 'max_value'] came"),
    ({"class_name": "MaxNorm", "config": [2, 0]},           LINEAR,       "the 'config' of MaxNorm is a list; a dict"),
    (abs,                                                   LINEAR,       "a builtin_function_or_method came; a saved conf"),
    (saved("MaxNorm", m=2),                                 LINEAR,       "MaxNorm came with m; its arguments are max_value,"),
    (saved("NonNeg", axis=0),                               LINEAR,       "NonNeg came with axis; its arguments are none."),
    (saved("MaxNorm", max_value="two"),                     LINEAR,       "MaxNorm(max_value='two') came; a number is right"),
    (saved("MaxNorm", max_value=True),                      LINEAR,       "MaxNorm(max_value=True) came; a number is right"),
    (saved("MaxNorm", axis="rows"),                         LINEAR,       "MaxNorm(axis='rows') came; whole numbers, or None"),
    (saved("MaxNorm", axis=[]),                             LINEAR,       "MaxNorm(axis=[]) came; whole numbers, or None"),
    (saved("MaxNorm", axis=2),                              LINEAR,       "axis=2 came, and the weight of Dense is (inputs, "
                                                                          "units); axes that it has are right"),
    (saved("MaxNorm", max_value=-1),                        LINEAR,       "MaxNorm: max=-1 came"),
    (saved("MinMaxNorm", min_value=2, max_value=1),         LINEAR,       "MinMaxNorm: min=2 and max=1 came; min must be"),
    (saved("MinMaxNorm", rate=1.5),                         LINEAR,       "MinMaxNorm: rate=1.5 came"),
    ("max_norm",                                            None,         "MaxNorm(axis=0) came without its layer; "
                                                                          "from_keras(config, layer) is right: axes differ by "
                                                                          "layer. Or name the reduced dimensions yourself: "
                                                                          "isotone.MaxNorm(..., dim=-1)."),
    ("max_norm",                                            "conv",       "a str came as the layer; a module such as nn.L"),
    ("max_norm",                                   nn.Sequential(LINEAR), "MaxNorm(axis=0) came for Sequential, of which"),
    ("max_norm",                                   nn.Bilinear(2, 3, 4),  "came for Bilinear, of which Keras has no like; "),
    ("max_norm",                                            nn.PReLU(3),  "came for PReLU, of which Keras has no like"),
    ("max_norm",                    nn.ConvTranspose2d(4, 4, 3, groups=2), "came for ConvTranspose2d, of which Keras has"),
    (UNIT,                                nn.Conv2d(4, 8, 3, groups=4),   "UnitNorm(axis=(0, 1, 2)) came for a depthwise "
                                                                          "Conv2d; it means dim=(-3, -2, -1) if that was "
                                                                          "Conv2D and no dim if that was DepthwiseConv2D"),
    (UNIT,                                nn.Conv2d(4, 4, 3, groups=4),   "and dim=(-4, -2, -1) if that was DepthwiseConv2D"),
    (saved("UnitNorm", axis=1),                             ATTENTION,    "UnitNorm(axis=1) came for MultiheadAttention, and "
                                                                          "its weight is (three x heads x keys, inputs) in "
                                                                          "torch; axes that are whole dimensions of it"),
    (saved("UnitNorm", axis=0),                    ATTENTION.out_proj,    "its weight is (units, heads x values) in torch"),
]
# fmt: on


@pytest.mark.parametrize(("config", "layer", "said"), REFUSED, ids=[said[:60] for *_, said in REFUSED])
def test_what_cannot_be_read_gets_one_sentence(config, layer, said):
    with pytest.raises(IsotoneError) as fault:
        from_keras(config, layer)
    assert said in str(fault.value)
    assert str(fault.value).startswith(("from_keras: ", "MaxNorm: ", "MinMaxNorm: "))


APART = nn.MultiheadAttention(8, 2, kdim=5, vdim=6)
# fmt: off
PARAMETERS = [
    # layer                                         name               axis     dim                        why
    (LINEAR,                                        "bias",            0,       -1,                        "Dense's bias"),
    (nn.Conv2d(4, 3, 3),                            "bias",            0,       -1,                        "Conv2D's bias"),
    (ATTENTION,                                     "in_proj_weight",  0,       -1,                        "a unit's inputs"),
    (ATTENTION,                                     "in_proj_weight",  None,    "(three x heads x keys",   "Keras: apart"),
    (ATTENTION,                                     "in_proj_bias",    0,       "(three x heads x keys)",  "over the heads"),
    (nn.MultiheadAttention(8, 2, add_bias_kv=True), "bias_k",          0,       "Keras has no like",       "torch's own"),
    (APART,                                         "k_proj_weight",   [1, 2],  -2,                        "one projection"),
    (APART,                                         "v_proj_weight",   None,    None,                      "one projection"),
    (nn.LSTM(4, 3, num_layers=2),                   "weight_hh_l1",    0,       -1,                        "recurrent"),
    (nn.LSTM(4, 3),                                 "bias_ih_l0",      0,       "Keras has no like",       "one, not two"),
    (nn.LSTM(4, 3, proj_size=2),                    "weight_hr_l0",    0,       "Keras has no like",       "torch's own"),
    (nn.GRUCell(4, 3),                              "weight_ih",       0,       -1,                        "a cell"),
    (nn.Conv3d(4, 8, 2, groups=4),                  "weight",          [0, 1, 2, 3], (-4, -3, -2, -1),     "no Depthwise in 3-D"),
    (nn.BatchNorm2d(3),                             "weight",          0,       -1,                        "gamma"),
    (nn.GroupNorm(1, 3),                            "bias",            0,       -1,                        "beta"),
    (nn.LayerNorm((3, 4)),                          "bias",            [0, 1],  (-2, -1),                  "as in Keras"),
    (LINEAR,                                        "kernel",          0,       "matches no parameter. Parameters: bias,",
                                                                                                           "Keras's name"),
    (LINEAR,                                        "bias",            1,       "the weight of Linear is (units)", "too far"),
]
# fmt: on


@pytest.mark.parametrize(("layer", "name", "axis", "dim", "why"), PARAMETERS)
def test_a_parameter_that_is_not_the_kernel(layer, name, axis, dim, why):
    if isinstance(dim, str):
        with pytest.raises((BadInput, NoMatch)) as fault:
            from_keras(saved("UnitNorm", axis=axis), layer, name)
        assert dim in str(fault.value), why
    else:
        assert from_keras(saved("UnitNorm", axis=axis), layer, name) == UnitNorm(dim), why


def test_what_keras_serialises_is_read(keras):
    kinds = keras.constraints
    for made, right in [
        (kinds.NonNeg(), NonNegative()),
        (kinds.MaxNorm(3.0, axis=(0, 1)), MaxNorm(3.0, dim=(-2, -1))),
        (kinds.UnitNorm(axis=1), UnitNorm(dim=-2)),
        (kinds.MinMaxNorm(0.5, 2.0, rate=0.7), MinMaxNorm(0.5, 2.0, 0.7, dim=-1)),
    ]:
        layer = keras.layers.Dense(2, kernel_constraint=made)
        for form in (made, kinds.serialize(made), layer.get_config()["kernel_constraint"]):
            assert from_keras(form, LINEAR) == right
    assert from_keras(kinds.MaxNorm, LINEAR) == MaxNorm(2, dim=-1)


def test_a_live_constraint_that_is_not_kerass_own_is_refused(keras):
    class MaxNorm(keras.constraints.MaxNorm):
        def __call__(self, w):
            return w

    with pytest.raises(BadInput, match=r"the custom constraint '.*MaxNorm' came"):
        from_keras(MaxNorm(), LINEAR)
    with pytest.raises(BadInput, match="Keras's base class Constraint came"):
        from_keras(keras.constraints.Constraint(), LINEAR)


Turn = tuple[Callable[[Tensor], list[Tensor]], Callable[[list[Tensor]], Tensor]]


def turned(*order: int) -> Turn:
    """One kernel, whose axes are those of torch in this order; and the way back."""
    return lambda w: [w.permute(order)], lambda kernels: kernels[0].permute(*np.argsort(order).tolist())


def depthwise(multiples: int, dims: int) -> Turn:
    """(channels * multiples, 1, window) in torch, (window, channels, multiples) in Keras."""
    window = list(range(2, 2 + dims))
    return (
        lambda w: [w[:, 0].unflatten(0, (-1, multiples)).permute(*window, 0, 1)],
        lambda kernels: kernels[0].permute(-2, -1, *range(dims)).flatten(0, 1).unsqueeze(1),
    )


def swapped(w: Tensor) -> Tensor:
    """A GRU's gates: reset, update, new in torch; update, reset, new in Keras. Its own inverse."""
    reset, update, new = w.chunk(3)
    return torch.cat([update, reset, new])


GRU: Turn = (lambda w: [swapped(w).T], lambda kernels: swapped(kernels[0].T))
# (3 heads keys, inputs) in torch, three times (inputs, heads, keys) in Keras.
THREE: Turn = (
    lambda w: [part.T.unflatten(1, (2, -1)) for part in w.chunk(3)],
    lambda kernels: torch.cat([kernel.flatten(1).T for kernel in kernels]),
)
OUTPUT: Turn = (lambda w: [w.T.unflatten(0, (2, 3))], lambda kernels: kernels[0].flatten(0, 1).T)

# Channels or multiples, not both: another set in Conv2D(groups=...), which torch cannot tell from DepthwiseConv2D.
TWO_READINGS = ((2,), (3,), (0, 2), (0, 3), (1, 2), (1, 3), (0, 1, 2), (0, 1, 3))
# Query, key and value, their heads and keys are all one dimension in torch.
ALL_BUT_INPUTS = ((1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2), None)


@dataclass
class Twin:
    """A layer of both, how its kernel is turned, which axes torch cannot say, and for which inputs it is called."""

    torch: Callable[[], nn.Module]
    keras: Callable[[Any], Any]
    kernel: Turn
    inputs: tuple[int, ...]
    name: str = "weight"
    refused: tuple[tuple[int, ...] | None, ...] = ()


# fmt: off
TWINS = {
    "Dense":           Twin(lambda: nn.Linear(4, 3), lambda k: k.Dense(3), turned(1, 0), (5, 4)),
    "Conv1D":          Twin(lambda: nn.Conv1d(4, 3, 2), lambda k: k.Conv1D(3, 2), turned(2, 1, 0), (2, 7, 4)),
    "Conv2D":          Twin(lambda: nn.Conv2d(4, 3, (2, 3)), lambda k: k.Conv2D(3, (2, 3)),
                            turned(2, 3, 1, 0), (2, 7, 6, 4)),
    "Conv3D":          Twin(lambda: nn.Conv3d(4, 3, (2, 3, 1)), lambda k: k.Conv3D(3, (2, 3, 1)),
                            turned(2, 3, 4, 1, 0), (2, 4, 5, 3, 4)),
    "grouped":         Twin(lambda: nn.Conv2d(4, 6, (2, 3), groups=2), lambda k: k.Conv2D(6, (2, 3), groups=2),
                            turned(2, 3, 1, 0), (2, 7, 6, 4)),
    "one channel":     Twin(lambda: nn.Conv2d(1, 6, (2, 3)), lambda k: k.Conv2D(6, (2, 3)),
                            turned(2, 3, 1, 0), (2, 7, 6, 1)),
    "DepthwiseConv2D": Twin(lambda: nn.Conv2d(4, 8, (2, 3), groups=4),
                            lambda k: k.DepthwiseConv2D((2, 3), depth_multiplier=2),
                            depthwise(2, 2), (2, 7, 6, 4), refused=TWO_READINGS),
    "one multiple":    Twin(lambda: nn.Conv2d(4, 4, (2, 3), groups=4), lambda k: k.DepthwiseConv2D((2, 3)),
                            depthwise(1, 2), (2, 7, 6, 4), refused=TWO_READINGS),
    "DepthwiseConv1D": Twin(lambda: nn.Conv1d(4, 8, 2, groups=4), lambda k: k.DepthwiseConv1D(2, depth_multiplier=2),
                            depthwise(2, 1), (2, 7, 4), refused=((1,), (2,), (0, 1), (0, 2))),
    "Conv1DTranspose": Twin(lambda: nn.ConvTranspose1d(4, 3, 2), lambda k: k.Conv1DTranspose(3, 2),
                            turned(2, 1, 0), (2, 7, 4)),
    "Conv2DTranspose": Twin(lambda: nn.ConvTranspose2d(4, 3, (2, 3)), lambda k: k.Conv2DTranspose(3, (2, 3)),
                            turned(2, 3, 1, 0), (2, 5, 4, 4)),
    "Conv3DTranspose": Twin(lambda: nn.ConvTranspose3d(4, 3, (2, 3, 1)), lambda k: k.Conv3DTranspose(3, (2, 3, 1)),
                            turned(2, 3, 4, 1, 0), (2, 4, 5, 3, 4)),
    "Embedding":       Twin(lambda: nn.Embedding(6, 4), lambda k: k.Embedding(6, 4), turned(0, 1), (5, 2)),
    "LSTM":            Twin(lambda: nn.LSTM(4, 3, batch_first=True),
                            lambda k: k.LSTM(3, return_sequences=True, unit_forget_bias=False),
                            turned(1, 0), (2, 5, 4), name="weight_ih_l0"),
    "SimpleRNN":       Twin(lambda: nn.RNN(4, 3, batch_first=True), lambda k: k.SimpleRNN(3, return_sequences=True),
                            turned(1, 0), (2, 5, 4), name="weight_ih_l0"),
    "GRU":             Twin(lambda: nn.GRU(4, 3, batch_first=True), lambda k: k.GRU(3, return_sequences=True),
                            GRU, (2, 5, 4), name="weight_ih_l0"),
    "MultiHeadAttention": Twin(lambda: nn.MultiheadAttention(6, 2, batch_first=True),
                               lambda k: k.MultiHeadAttention(2, 3, flash_attention=False),
                               THREE, (2, 5, 6), name="in_proj_weight", refused=ALL_BUT_INPUTS),
}
PARTS = {  # of a layer that is called whole
    "MultiHeadAttention's output": Twin(lambda: nn.MultiheadAttention(6, 2).out_proj, lambda k: None,
                                        OUTPUT, (), refused=((0,), (1,), (0, 2), (1, 2))),
}
# fmt: on


@pytest.mark.parametrize("twin", (TWINS | PARTS).values(), ids=TWINS | PARTS)
def test_an_axis_means_what_it_means_in_keras(keras, twin):
    torch.manual_seed(0)
    layer = twin.torch()
    w = dict(layer.named_parameters())[twin.name].detach()
    kernels, back = twin.kernel
    n = kernels(w)[0].ndim
    refused = set()
    for axis in [None, *itertools.chain.from_iterable(itertools.combinations(range(n), k) for k in range(1, n + 1))]:
        theirs = keras.constraints.MaxNorm(0.05, axis=axis)
        try:
            ours = from_keras(theirs, layer)
        except BadInput:
            refused.add(axis)
            continue
        right = back([theirs(kernel) for kernel in kernels(w)])
        assert right.shape == w.shape
        torch.testing.assert_close(ours.project(w), right, rtol=1e-5, atol=1e-7)
    assert refused == set(twin.refused)


@pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS)
def test_the_kernels_are_turned_as_keras_turns_them(keras, twin):
    """Or the test above would compare two mistakes: with kernels so turned both layers compute the same."""
    torch.manual_seed(0)
    layer, theirs = twin.torch(), twin.keras(keras.layers)
    attention, window = isinstance(layer, nn.MultiheadAttention), isinstance(layer, nn.modules.conv._ConvNd)
    x = torch.randint(0, 6, twin.inputs) if isinstance(layer, nn.Embedding) else torch.randn(twin.inputs)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.mul_(0 if "bias" in name else 1)
        mine = {name: p for name, p in layer.named_parameters() if "bias" not in name}
        turned_kernels = twin.kernel[0](mine.pop(twin.name))
        for other in mine.values():
            turned_kernels += (OUTPUT if attention else twin.kernel)[0](other)

        theirs(x, x) if attention else theirs(x)  # builds it
        places = [v for v in theirs.weights if "bias" not in v.path]
        assert [tuple(v.shape) for v in places] == [tuple(kernel.shape) for kernel in turned_kernels]
        for v, kernel in zip(places, turned_kernels, strict=True):
            v.assign(kernel.contiguous())
        right = theirs(x, x) if attention else theirs(x)

        out = layer(x, x, x) if attention else layer(x.movedim(-1, 1)) if window else layer(x)
        out = out[0] if isinstance(out, tuple) else out
        torch.testing.assert_close(out.movedim(1, -1) if window else out, right, rtol=1e-4, atol=1e-5)
