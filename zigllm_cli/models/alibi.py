"""ALiBi: scores fall with the distance, for each head at its own slope. Press et al. 2022."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def slopes(heads: int, max_bias: float) -> NDArray[np.float32]:
    """By how much scores fall per position, float32 [heads].

    A geometric series that ends at 2^-max_bias for a power of two of heads; the heads beyond the
    last power of two take every other term of the series of twice as many.
    """
    whole = 1 << (heads.bit_length() - 1)
    series = 2.0 ** (-max_bias / whole * np.arange(1, whole + 1))
    between = 2.0 ** (-max_bias / whole / 2 * np.arange(1, 2 * (heads - whole), 2))
    return np.concatenate([series, between]).astype(np.float32)
