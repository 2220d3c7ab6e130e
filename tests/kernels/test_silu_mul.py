"""Activations of feed-forward blocks against float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

erf = np.vectorize(math.erf)
EXACT = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "gelu_erf": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "gelu_quick": lambda x: x / (1 + np.exp(-1.702 * x)),
    "relu": lambda x: np.maximum(x, 0),
    "relu_squared": lambda x: np.maximum(x, 0) ** 2,
}


@pytest.mark.parametrize(
    ("name", "gated"), [(name, int(name == "silu")) for name in EXACT] + [("gelu", 1)]
)
@pytest.mark.parametrize(("tokens", "width"), [(1, 16), (3, 100), (2, 7)])
def test_activations(
    run: Callable[..., None],
    batch_state: Callable[..., Any],
    name: str,
    gated: int,
    tokens: int,
    width: int,
) -> None:
    gate, up, out = np.random.default_rng(width).standard_normal((3, tokens, width + 5)) * 3
    gate, up, out = (v.astype(np.float32) for v in (gate, up, out))
    kept = out[:, width:].copy()
    state = batch_state(range(tokens))
    run("silu_mul", (name, gated), [gate, up, out, width, 4 * (width + 5), state.block], 2)
    wanted = EXACT[name](gate[:, :width].astype(np.float64))
    if gated:
        wanted = wanted * up[:, :width]
    np.testing.assert_allclose(out[:, :width], wanted, rtol=5e-7, atol=1e-6)
    assert np.array_equal(out[:, width:], kept)
