"""What is known of modules and operations that turn the order, in words: why, and what to put in their place.

A row is advice and never a verdict: whether an operation is in the way is found by the prover's rules.
"""

from __future__ import annotations

from torch import nn

# fmt: off
_SHIFTED = "every entry is measured against the others, so one that rises pushes the others down"
_NO_NORM = "leave it out, or use BatchNorm (fixed statistics in eval mode) and hold its weight NonNegative"
_POOL = "sum or take the maximum over the sequence of what a monotone layer makes of each element (Linear or Conv1d)"
_GATES = "its gates multiply and forget: a gate that opens as an input rises can lower the state"

# Modules that no sign of their weights makes monotone: why, and what to do. Where it can go, a line leaves it out.
UNFIT: dict[type[nn.Module], tuple[str, str, bool]] = {
    nn.LSTM:               (_GATES, f"no constraint can help; {_POOL}", False),
    nn.GRU:                (_GATES, f"no constraint can help; {_POOL}", False),
    nn.LSTMCell:           (_GATES, f"no constraint can help; {_POOL}", False),
    nn.GRUCell:            (_GATES, f"no constraint can help; {_POOL}", False),
    nn.MultiheadAttention: ("attention shares out one weight by softmax: what rises takes from the others",
                            f"no constraint can help; {_POOL}", False),
    nn.LayerNorm:          (_SHIFTED, _NO_NORM, True),
    nn.GroupNorm:          (_SHIFTED, _NO_NORM, True),
    nn.RMSNorm:            (_SHIFTED, _NO_NORM, True),
    nn.InstanceNorm1d:     (_SHIFTED, _NO_NORM, True),
    nn.InstanceNorm2d:     (_SHIFTED, _NO_NORM, True),
    nn.LocalResponseNorm:  (_SHIFTED, _NO_NORM, True),
}

_DIPS = "it falls below its turning point and rises only after it"
# Activations as modules, each to be replaced by one line.
ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.GELU: _DIPS, nn.SiLU: _DIPS, nn.Mish: _DIPS, nn.Hardswish: _DIPS,
    nn.Softsign: "it rises, but as a quotient, which the prover cannot see",
    nn.Tanhshrink: "it rises, but as a difference, which the prover cannot see",
    nn.Softshrink: "it rises, but by cases, which the prover cannot see",
    nn.Hardshrink: "it rises, but by cases, which the prover cannot see",
}

_RISING = "softplus, elu, or isotone.nn.Saturating, which saturate on one side and rise everywhere"
_EVEN = "it falls left of 0 and rises right of it"
_SIDE = "relu or softplus; or keep what comes in at 0 or above (a relu before it, or domain=(0, None) for an input)"
_WAVE = "it rises and falls in turn"
_STEPS = "tanh, or ramps of the input (isotone.nn.Ramps)"
_TOGETHER = "add it, or subtract something that falls (made by weights held NonPositive)"
_SPREAD = "a spread rises when entries move apart and falls when they move together"
_PLACE = "which place is the largest may change with the inputs"

# Operations written in forward, by the packet's name: why, and what to write instead.
OPS: dict[str, tuple[str, str]] = {
    "aten.gelu":      (_DIPS, _RISING),
    "aten.silu":      (_DIPS, _RISING),
    "aten.mish":      (_DIPS, _RISING),
    "aten.hardswish": (_DIPS, _RISING),
    "aten.abs":       (_EVEN, _SIDE),
    "aten.square":    (_EVEN, _SIDE),
    "aten.pow":       (_EVEN, _SIDE),
    "aten.cosh":      (_EVEN, _SIDE),
    "aten.sin":       (_WAVE, _STEPS),
    "aten.cos":       (_WAVE, _STEPS),
    "aten.remainder": ("it falls back to 0 again and again", _STEPS),
    "aten.native_layer_norm": (_SHIFTED, _NO_NORM),
    "aten.native_group_norm": (_SHIFTED, _NO_NORM),
    "aten.layer_norm":        (_SHIFTED, _NO_NORM),
    "aten.group_norm":        (_SHIFTED, _NO_NORM),
    "aten.var":       (_SPREAD, "leave it out"),
    "aten.std":       (_SPREAD, "leave it out"),
    "aten.argmax":    (_PLACE, "use the largest value itself (amax)"),
    "aten.argmin":    (_PLACE, "use the smallest value itself (amin)"),
    "aten.sub":       ("what is subtracted rises too", _TOGETHER),
    "aten.rsub":      ("what is subtracted rises too", _TOGETHER),
    "aten.add":       ("it adds what rises to what falls",
                       "turn the falling inputs round first (times -1, with direction +1), or let them in through "
                       "a weight held in Sign"),
    "aten.mul":       ("a product rises with one factor only where the other is not negative",
                       "make both factors 0 or above, and rising or free: relu or softplus on what is gated, sigmoid "
                       "or softplus on the gate, or on a weight that is computed"),
    "aten.div":       ("a quotient falls as its divisor rises, and turns round with a negative one",
                       "divide by a fixed number; instead of a mean over a varying number of nodes or words take "
                       "the sum or the maximum"),
    "aten.where":     ("the branch that is chosen when the condition rises may lie below the other",
                       "maximum or minimum of the two, or a condition on free inputs"),
    "aten.masked_fill": ("the value that is filled in may lie below what it replaces",
                         "a mask from free inputs, or 0 in place of a value that is never negative"),
}
# Products with numbers that are neither a parameter nor, through a fixed arrangement, made of one.
FIXED_WEIGHTS = ("its weights are no parameter of their own (a buffer, or computed in forward) and have both signs",
                 "make them a parameter, which a constraint can hold, or pass them through softplus")
BOTH_MOVE = ("both its factors move, and either may be negative", "relu or softplus on both, or a fixed factor")
NOT_KNOWN = ("it rises and falls", "replace it by sums with non-negative weights, maxima, or a rising activation")
CONFLICT = "the same weight meets rising and falling inputs, or is used in two places that need opposite signs"
CONFLICT_DO = "turn the falling ones round before it (times -1, with direction +1), or use two layers"
# Activations along which a network of non-negative weights stays convex.
CONVEX = frozenset({"aten.relu", "aten.softplus", "aten.elu", "aten.leaky_relu", "aten.exp", "aten.celu", "aten.amax",
                    "aten.maximum", "aten.logsumexp"})
CURVED = frozenset({"aten.tanh", "aten.sigmoid", "aten.hardtanh", "aten.clamp", "aten.relu6", "aten.selu", "aten.erf",
                    "aten.hardsigmoid", "aten.log_sigmoid", "aten.atan", "aten.neg", "aten.sqrt", "aten.log",
                    "aten.log1p", "aten.minimum", "aten.amin"})
SHARES = frozenset({"aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax"})
# fmt: on
