"""The functions of `simd.math` against float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numba import njit

from zigllm_cli.simd import math as simd_math
from zigllm_cli.simd.memory import load_f32x16, store_vec

erf = np.vectorize(math.erf)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


@pytest.fixture(scope="module")
def apply() -> Callable[[str, np.ndarray], np.ndarray]:
    """apply(name, x): one function on float32 [a multiple of 16]."""

    def run(name: str, x: np.ndarray) -> np.ndarray:
        function = getattr(simd_math, name)

        @njit
        def loop(p: int, q: int, count: int) -> None:
            for i in range(0, count, 16):
                store_vec(q + 4 * i, function(load_f32x16(p + 4 * i)))

        y = np.zeros_like(x)
        loop(x.ctypes.data, y.ctypes.data, len(x))
        return y

    return run


@pytest.mark.parametrize(
    ("name", "exact", "low", "high", "relative", "absolute"),
    [
        ("exp2", np.exp2, -126, 127, 1e-7, 0),
        ("exp", np.exp, -87, 88, 1e-7, 0),
        ("sigmoid", sigmoid, -80, 80, 2e-7, 0),
        ("silu", lambda x: x * sigmoid(x), -80, 80, 2.5e-7, 0),
        ("softplus", lambda x: np.logaddexp(0, x), -80, 80, 2e-7, 0),
        ("tanh", np.tanh, -12, 12, 2e-7, 0),
        # the true value of a GELU far below zero is a difference of nearly equal numbers
        ("gelu", gelu, -8, 20, 2e-7, 1e-7),
        ("gelu_erf", gelu_erf, -9, 20, 2e-7, 1.2e-7),
        ("relu", lambda x: np.maximum(x, 0), -5, 5, 0, 0),
    ],
)
def test_error_against_float64(
    apply: Callable[[str, np.ndarray], np.ndarray],
    name: str,
    exact: Callable[[np.ndarray], np.ndarray],
    low: float,
    high: float,
    relative: float,
    absolute: float,
) -> None:
    x = np.concatenate((np.linspace(low, high, 40000), np.linspace(-1, 1, 40000)))
    x = x.astype(np.float32)
    wanted = exact(x.astype(np.float64))
    error = np.abs(apply(name, x) - wanted)
    worst = np.argmax(error - relative * np.abs(wanted) - absolute)
    assert error[worst] <= relative * abs(wanted[worst]) + absolute, x[worst]


def test_ends_of_the_range(apply: Callable[[str, np.ndarray], np.ndarray]) -> None:
    x = np.zeros(16, np.float32)
    x[:6] = np.nan, np.inf, -np.inf, 1000, -1000, 0
    with np.errstate(all="ignore"):
        assert np.array_equal(apply("exp2", x)[:6], np.exp2(x)[:6], equal_nan=True)
        assert np.array_equal(apply("exp", x)[:6], np.exp(x)[:6], equal_nan=True)
        assert np.array_equal(apply("tanh", x)[:6], np.tanh(x)[:6], equal_nan=True)
    assert np.array_equal(apply("silu", x)[3:6], [1000, 0, 0])
    assert np.array_equal(apply("gelu_erf", x)[1:6], [np.inf, 0, 1000, 0, 0])
    assert np.isnan(apply("gelu_erf", x)[0])
    assert np.isnan(apply("gelu", x)[0])
    assert np.isnan(apply("relu", x)[0])
