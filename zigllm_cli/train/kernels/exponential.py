"""e to the x, in a form that LLVM turns into vectors.

For float32: x = k ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor series of degree 6 (relative
error 2e-7), 2^k put together from its bits. For float64, where training is only checked, libm's.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from zigllm_cli.train.kernels.compiled import exact

F = np.float32
LOG2_E = F(1.4426950408889634)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)
LEAST, MOST = F(-87.0), F(88.0)
HALF, ONE, ZERO = F(0.5), F(1), F(0)
C2, C3, C4, C5, C6 = F(1 / 2), F(1 / 6), F(1 / 24), F(1 / 120), F(1 / 720)
BIAS, MANTISSA = np.int32(127), np.int32(23)


@exact
def _exp32(x):
    x = min(max(x, LEAST), MOST)
    scaled = x * LOG2_E
    k = np.int32(scaled + (HALF if scaled >= ZERO else -HALF))
    n = np.float32(k)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = ONE + r * (ONE + r * (C2 + r * (C3 + r * (C4 + r * (C5 + r * C6)))))
    return p * np.int32((k + BIAS) << MANTISSA).view(np.float32)


def exp(x):
    """e to the x, of x's own type."""
    return math.exp(x)


@overload(exp, inline="always")
def _exp(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)
