"""Where the axes of a Keras weight lie in torch's.

- each layer is a row of two layouts;
- an axis that torch has merged with another, or two layers that torch cannot tell apart, give no answer but a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from ..errors import BadInput, NoMatch
from ._dims import _CONVOLUTIONS, _TRANSPOSED, Dims

Axis = tuple[int, ...] | None  # None: all axes


def dim_of(kind: str, axis: Axis, module: nn.Module | None, name: str | None) -> Dims:
    """Torch's `dim` for Keras's `axis` of one parameter of `module`, if it means exactly the same."""
    shown = f"{kind}(axis={_shown(axis)})"
    instead = f"Or name the reduced dimensions yourself: isotone.{kind}(..., dim=-1)."
    if module is None:
        if axis is None:
            return None
        raise BadInput(
            "from_keras",
            f"{shown} came without its layer",
            "from_keras(config, layer) is right: axes differ by layer",
            instead,
        )
    if not isinstance(module, nn.Module):
        raise BadInput(
            "from_keras", f"a {type(module).__name__} came as the layer", "a module such as nn.Linear is right"
        )
    known = dict(module.named_parameters(recurse=False))
    if name is not None and name not in known:
        raise NoMatch("from_keras", name, known, "parameter")
    layer = type(module).__name__ + (f".{name}" if name else "")
    layouts = _layouts(module, name)
    if not layouts:
        raise BadInput(
            "from_keras", f"{shown} came for {layer}, of which Keras has no like", "a torch `dim` is right", instead
        )
    dims = [layout.dim(axis) for layout in layouts]
    # A dimension of size 1 may be reduced or not.
    plain = {_without_ones(layout, dim) for layout, dim in zip(layouts, dims, strict=True)}
    if len(plain) > 1:
        said = " and ".join(
            f"{'no dim' if dim is None else f'dim={dim}'} if that was {layout.layer}"
            for layout, dim in zip(layouts, dims, strict=True)
        )
        raise BadInput("from_keras", f"{shown} came for a depthwise {layer}", f"it means {said}", instead)
    dim = dims[0]
    if dim is None:
        parts = ", ".join(layouts[0].torch.split()).replace("*", " x ")
        raise BadInput(
            "from_keras",
            f"{shown} came for {layer}, and its weight is ({parts}) in torch",
            "axes that are whole dimensions of it would be right",
            instead,
        )
    if axis is None:
        return None
    return dim[0] if len(dim) == 1 else dim


@dataclass(frozen=True)
class Layout:
    """How one weight lies in Keras and in torch: a word for each axis, `a*b` for two that torch has made one."""

    layer: str
    keras: str
    torch: str

    def dim(self, axis: Axis) -> tuple[int, ...] | None:
        """The torch dimensions that are reduced where Keras reduces `axis`; None if no dimensions are just these.

        >>> Layout("Dense", "inputs units", "units inputs").dim((0,))
        (-1,)
        >>> Layout("MultiHeadAttention", "inputs heads keys", "heads*keys inputs").dim((1,))
        """
        axes = self.keras.split()
        if axis is None:
            reduced = set(axes)
        elif all(-len(axes) <= each < len(axes) for each in axis):
            reduced = {axes[each] for each in axis}
        else:
            raise BadInput(
                "from_keras",
                f"axis={_shown(axis)} came, and the weight of {self.layer} is ({', '.join(axes)})",
                "axes that it has are right",
            )
        parts = [set(each.split("*")) for each in self.torch.split()]
        if any(part & reduced and not part <= reduced for part in parts):
            return None
        return tuple(d - len(parts) for d, part in enumerate(parts) if part <= reduced)


_WINDOW = {1: "steps", 2: "rows columns", 3: "planes rows columns"}


def _layouts(module: nn.Module, name: str | None) -> list[Layout]:
    """The Keras layers that `module` may have been: none, one, or, for a depthwise convolution, two."""
    if isinstance(module, (_NormBase, nn.GroupNorm)):
        return [Layout("a normalisation", "channels", "channels")]
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        same = " ".join(f"axis{i}" for i in range(len(module.normalized_shape)))
        return [Layout("a normalisation", same, same)]
    bias = name is not None and "bias" in name
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        # The gates of a GRU lie in another order: no matter, all of them are reduced or none. Keras has one bias where
        # torch adds two, and no projection of the state.
        plain = not bias and not (name or "").startswith("weight_hr")
        return [Layout("LSTM, GRU or SimpleRNN", "inputs units", "units inputs")] if plain else []
    if isinstance(module, nn.MultiheadAttention):
        # Keras holds query, key and value in a weight each; torch in one or, where their inputs differ, in three.
        if bias:
            return [Layout("MultiHeadAttention", "heads keys", "three*heads*keys")] if name == "in_proj_bias" else []
        rows = "three*heads*keys" if module._qkv_same_embed_dim else "heads*keys"
        return [Layout("MultiHeadAttention", "inputs heads keys", f"{rows} inputs")]
    if isinstance(module, (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)) and bias:
        return [Layout(type(module).__name__, "units", "units")]
    if isinstance(module, NonDynamicallyQuantizableLinear):  # the projection at the end of a MultiheadAttention
        return [Layout("MultiHeadAttention", "heads values units", "units heads*values")]
    if isinstance(module, nn.Linear):
        return [Layout("Dense", "inputs units", "units inputs")]
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return [Layout("Embedding", "rows entries", "rows entries")]
    if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED)):
        return _convolutions(module)
    return []


def _convolutions(module: nn.modules.conv._ConvNd) -> list[Layout]:
    n, groups, inputs = len(module.kernel_size), module.groups, module.in_channels
    window = _WINDOW[n]
    if isinstance(module, _TRANSPOSED):  # Keras's have no groups
        return [Layout(f"Conv{n}DTranspose", f"{window} units inputs", f"inputs units {window}")] if groups == 1 else []
    if groups == 1 or groups != inputs or n == 3:
        return [Layout(f"Conv{n}D", f"{window} inputs units", f"units inputs {window}")]
    # One input channel per unit, "1" here. A depthwise kernel lies otherwise: channels before multiples of each.
    units = "channels" if module.out_channels == inputs else "channels*multiples"
    return [
        Layout(f"Conv{n}D", f"{window} 1 units", f"units 1 {window}"),
        Layout(f"DepthwiseConv{n}D", f"{window} channels multiples", f"{units} 1 {window}"),
    ]


def _without_ones(layout: Layout, dim: tuple[int, ...] | None) -> tuple[int, ...] | None:
    return None if dim is None else tuple(d for d in dim if layout.torch.split()[d] != "1")


def _shown(axis: Axis) -> object:
    return axis[0] if axis is not None and len(axis) == 1 else axis
