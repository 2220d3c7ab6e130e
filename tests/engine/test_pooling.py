"""Pooled vectors against float64."""

from __future__ import annotations

import numpy as np
import pytest

from zigllm_cli.engine.pooling import means


@pytest.mark.parametrize(("lengths", "width"), [((1,), 1), ((3, 1, 7), 384), ((2, 5000), 50)])
def test_means(lengths: tuple[int, ...], width: int) -> None:
    # around 1000: adding 5000 such rows in float32 would be wrong in the fifth digit
    states = 1000 + np.random.default_rng(width).standard_normal((sum(lengths), width))
    states = states.astype(np.float32)
    ends = np.cumsum(lengths, dtype=np.int64)
    wanted = [part.mean(0, np.float64) for part in np.split(states, ends[:-1])]
    assert np.abs(means(states, ends) / np.stack(wanted) - 1).max() < 1.3e-7
