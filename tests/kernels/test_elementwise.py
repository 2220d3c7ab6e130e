"""Sums and simple functions of values against float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("variant", ["scale", "soft_cap", "clamp", "add", "add_row", "add_same"])
@pytest.mark.parametrize(("tokens", "width"), [(1, 16), (3, 100), (2, 7)])
def test_elementwise(
    run: Callable[..., None],
    batch_state: Callable[..., Any],
    variant: str,
    tokens: int,
    width: int,
) -> None:
    out, x = np.random.default_rng(width).standard_normal((2, tokens, width)).astype(np.float32)
    places = [5, 0, 2][:tokens]
    table = np.random.default_rng(tokens).standard_normal((6, width)).astype(np.float32)
    other = {"add": x, "add_row": table, "add_same": table[:1]}.get(variant)
    v = out.astype(np.float64)
    wanted = {
        "scale": v * 0.7,
        "soft_cap": 0.7 * np.tanh(v / 0.7),
        "clamp": np.clip(v, -0.7, 0.7),
        "add": v + 0.7 * x,
        "add_row": v + 0.7 * table[places],
        "add_same": v + 0.7 * table[:1],
    }[variant]
    state = batch_state(places)
    run("elementwise", (variant,), [out, 4 * width, width, 0.7, other, state.block], 2)
    np.testing.assert_allclose(out, wanted, rtol=1e-6, atol=3e-7)


@pytest.mark.parametrize("module", ["rms_norm", "layer_norm"])
def test_a_weight_for_each_part(
    run: Callable[..., None], batch_state: Callable[..., Any], module: str
) -> None:
    rng = np.random.default_rng(1)
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 60), (3, 20)))
    out, state = np.zeros_like(x), batch_state([0, 1])
    more = [weight, 80] if module == "layer_norm" else []
    run(module, (), [x, 240, out, 240, weight, 60, 1e-5, state.block, 3, 80, *more], 2)
    parts = x.astype(np.float64).reshape(2, 3, 20)
    if module == "layer_norm":
        parts = parts - parts.mean(-1, keepdims=True)
    wanted = parts / np.sqrt((parts**2).mean(-1, keepdims=True) + 1e-5) * weight
    if module == "layer_norm":
        wanted = wanted + weight
    np.testing.assert_allclose(out.reshape(2, 3, 20), wanted, rtol=1e-6, atol=2e-6)
