"""Two lines enclose every function that has a rule, on every interval."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.bounds._lines import lines
from isotone.certify.boxes._curves import ROWS, elu, pieces, softplus

# fmt: off
CURVES = {
    **{name: ROWS[name] for name in ("relu", "relu6", "tanh", "sigmoid", "gelu", "silu")},
    "softplus":     softplus(1.0, 1e3),
    "elu":          elu(1.0, 1.0, 1.0),
    "elu, kinked":  elu(0.3, 1.0, 1.0),
    "selu":         elu(1.6732632423543772, 1.0507009873554805, 1.0),
    "leaky":        pieces(lambda x: torch.where(x > 0, x, 0.1 * x), (0.0,), (0.1, 1.0)),
    "concave":      pieces(lambda x: torch.where(x > 0, x, 2.0 * x), (0.0,), (2.0, 1.0)),
    "hardtanh":     pieces(lambda x: x.clamp(-0.5, 1.0), (-0.5, 1.0), (0.0, 1.0, 0.0)),
}
# fmt: on
ends = st.floats(-20, 20) | st.floats(-2, 2) | st.sampled_from([0.0, 1e-9, -1e-9, 1e-300, 6.0, -0.5])


@pytest.mark.parametrize("name", CURVES)
@given(a=ends, b=ends, where=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_lines_enclose(name, a, b, where):
    row = CURVES[name]
    lo, hi = (torch.tensor([[end]], dtype=torch.float64) for end in sorted((a, b)))
    found = lines(row, lo, hi, lo + where * (hi - lo))
    z = (lo + torch.linspace(0, 1, 101, dtype=torch.float64) * (hi - lo)).clamp(lo, hi)
    y = row.value.f(z)
    room = 1e-11 * (1 + y.abs().max())
    assert bool((found.low_slope * z + found.low_shift <= y + room).all())
    assert bool((found.high_slope * z + found.high_shift >= y - room).all())


@pytest.mark.parametrize("name", CURVES)
def test_lines_shrink_with_the_interval(name):
    row, at = CURVES[name], torch.linspace(-3, 3, 61, dtype=torch.float64)[None]
    gaps = []
    for width in (1e-1, 1e-3):
        found = lines(row, at - width, at + width, at)
        gaps.append(((found.high_slope - found.low_slope) * at + found.high_shift - found.low_shift).amax())
    assert gaps[1] < 0.02 * gaps[0]
