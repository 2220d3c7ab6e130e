"""Root mean square norm and layer norm against float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SHAPES = [(1, 16, 1), (3, 100, 1), (5, 320, 5), (2, 17, 1), (33, 8, 2), (1, 2048, 1)]
EPS = 1e-5


@pytest.mark.parametrize(("tokens", "width", "parts"), SHAPES)
@pytest.mark.parametrize("with_weight", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_norms(
    run: Callable[..., None],
    batch_state: Callable[..., Any],
    tokens: int,
    width: int,
    parts: int,
    with_weight: bool,
    threads: int,
) -> None:
    rng = np.random.default_rng(width)
    x = rng.standard_normal((tokens, width + 3)).astype(np.float32) + np.float32(0.3)
    weight, bias = rng.standard_normal((2, width // parts)).astype(np.float32)
    root, centred = np.full((2, tokens, width + 1), 7, np.float32)
    state = batch_state(range(tokens))
    shape = [4 * (width + 3), root, 4 * (width + 1), weight if with_weight else 0, width, EPS]
    run("rms_norm", (), [x, *shape, state.block, parts, 0], threads)
    shape[1] = centred
    biases = [0, bias if with_weight else 0, 0]
    run("layer_norm", (), [x, *shape, state.block, parts, *biases], threads)

    slices = x[:, :width].astype(np.float64).reshape(tokens, parts, -1)
    scale, shift = (weight, bias) if with_weight else (1, 0)
    wanted = slices / np.sqrt((slices**2).mean(-1, keepdims=True) + EPS) * scale
    np.testing.assert_allclose(root[:, :width], wanted.reshape(tokens, -1), rtol=5e-7, atol=1e-6)
    away = slices - slices.mean(-1, keepdims=True)
    wanted = away / np.sqrt(slices.var(-1, keepdims=True) + EPS) * scale + shift
    np.testing.assert_allclose(centred[:, :width], wanted.reshape(tokens, -1), rtol=1e-6, atol=2e-6)
    assert (root[:, width:] == 7).all()
    assert (centred[:, width:] == 7).all()
