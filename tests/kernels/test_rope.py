"""Rotary embedding against float64, for both choices of pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

POSITIONS = [0, 3, 7, 8, 40]


@pytest.mark.parametrize("pairs", ["norm", "neox"])
@pytest.mark.parametrize(
    ("size", "rotated"), [(2, 2), (8, 8), (20, 20), (64, 64), (80, 20), (128, 128)]
)
def test_rope(
    run: Callable[..., None],
    batch_state: Callable[..., Any],
    pairs: str,
    size: int,
    rotated: int,
) -> None:
    heads, half = 3, rotated // 2
    x = np.random.default_rng(size).standard_normal((5, heads * size)).astype(np.float32)
    angles = np.arange(41)[:, None] * 1e4 ** (-np.arange(half) / half)
    table = np.concatenate((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32)
    before = x.astype(np.float64).reshape(5, heads, size)
    even, odd = (slice(0, rotated, 2), slice(1, rotated, 2))
    if pairs == "neox":
        even, odd = slice(0, half), slice(half, rotated)
    cos, sin = (f(angles)[POSITIONS][:, None] for f in (np.cos, np.sin))
    wanted = before.copy()
    wanted[..., even] = before[..., even] * cos - before[..., odd] * sin
    wanted[..., odd] = before[..., even] * sin + before[..., odd] * cos

    state = batch_state(POSITIONS)
    run("rope", (pairs,), [x, 4 * heads * size, heads, size, rotated, table, state.block], 2)
    np.testing.assert_allclose(x.reshape(before.shape), wanted, rtol=0, atol=1e-6)
    assert np.array_equal(x.reshape(before.shape)[..., rotated:], before[..., rotated:])
