"""Transcendental functions of sixteen floats: exponentials, sigmoid, hyperbolic tangent, GELU.

Polynomials and rationals of one range each, without tables or branches. Sources: `exp` and
`exp2` use those of Cephes (Moshier, expf.c and exp2f.c), `tanh` and `erf` the odd rationals of
Eigen (MathFunctionsImpl.h). Errors against float64 over the whole range, as tested: 1.2e-7
relative for the exponentials, 4e-7 for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import absolute, fill, fma, greater, maximum, minimum, select
from zigllm_cli.simd.emit import call, emit
from zigllm_cli.simd.vector import I32, f32x16, i32x16

ROUND = 12582912.0
"""1.5 * 2^23: added to a small float it leaves the nearest integer in the low bits of the sum."""

LOG2_E = 1.44269504088896341

one, half, two = fill(f32x16, 1.0), fill(f32x16, 0.5), fill(f32x16, 2.0)
round_up = fill(f32x16, ROUND)
round_up_biased = fill(f32x16, ROUND + 127.0)
lowest_power, highest_power = fill(f32x16, -127.0), fill(f32x16, 128.0)
log2_e = fill(f32x16, LOG2_E)
minus_ln2_high, minus_ln2_low = fill(f32x16, -0.693359375), fill(f32x16, 2.12194440e-4)
zero = fill(f32x16, 0.0)


def polynomial(coefficients: Sequence[float]) -> Any:
    """An operation: the polynomial with these coefficients, highest power first (Horner)."""

    def horner(b: Any, x: Any) -> Any:
        value = f32x16.constant([coefficients[0]] * 16)
        for coefficient in coefficients[1:]:
            addend = f32x16.constant([coefficient] * 16)
            value = call(b, "llvm.fma.v16f32", f32x16.ir, value, x, addend)
        return value

    return emit(f32x16, f32x16)(horner)


@emit(f32x16, f32x16)
def power_of_two(b: Any, biased: Any) -> Any:
    """2^n of lanes that hold `ROUND + 127` + n, n of -127 (gives 0) to 128 (gives infinity)."""
    bits = b.bitcast(biased, i32x16.ir)
    places = ir.Constant(i32x16.ir, [ir.Constant(I32, 23)] * 16)
    return b.bitcast(b.shl(bits, places), f32x16.ir)


exp2_of_part = polynomial(
    (
        1.535336188319500e-4,
        1.339887440266574e-3,
        9.618437357674640e-3,
        5.550332471162809e-2,
        2.402264791363012e-1,
        6.931472028550421e-1,
        1.0,
    )
)

exp_of_part = polynomial(
    (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
        1.0,
        1.0,
    )
)


@njit(forceinline=True)
def exp2(x):  # type: ignore[no-untyped-def]
    """2^x; exactly 0 below -126.5 (also for -infinity), infinity from 127.5, NaN for NaN."""
    x = maximum(lowest_power(), minimum(highest_power(), x))
    whole = x + round_up_biased()
    part = x - (whole - round_up_biased())
    return exp2_of_part(part) * power_of_two(whole)


@njit(forceinline=True)
def exp(x):  # type: ignore[no-untyped-def]
    """e^x; 0 below -87.7, infinity from 88.4, NaN for NaN."""
    power = maximum(lowest_power(), minimum(highest_power(), x * log2_e()))
    whole = power + round_up_biased()
    count = whole - round_up_biased()
    part = fma(count, minus_ln2_low(), fma(count, minus_ln2_high(), x))
    part = maximum(zero() - half(), minimum(half(), part))
    return exp_of_part(part) * power_of_two(whole)


@njit(forceinline=True)
def sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + e^-x)."""
    return one() / (one() + exp(zero() - x))


@njit(forceinline=True)
def silu(x):  # type: ignore[no-untyped-def]
    """x * sigmoid(x), also called swish."""
    return x / (one() + exp(zero() - x))


tanh_numerator = polynomial(
    (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    )
)
tanh_denominator = polynomial(
    (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
)
tanh_limit, tanh_tiny = fill(f32x16, 7.90531110763549805), fill(f32x16, 0.0004)


@njit(forceinline=True)
def tanh(x):  # type: ignore[no-untyped-def]
    """The hyperbolic tangent; x itself where it is tiny."""
    y = maximum(zero() - tanh_limit(), minimum(tanh_limit(), x))
    square = y * y
    value = y * tanh_numerator(square) / tanh_denominator(square)
    return select(greater(tanh_tiny(), absolute(x)), x, value)


erf_numerator = polynomial(
    (
        -2.72614225801306e-10,
        2.77068142495902e-08,
        -2.10102402082508e-06,
        -5.69250639462346e-05,
        -7.34990630326855e-04,
        -2.95459980854025e-03,
        -1.60960333262415e-02,
    )
)
erf_denominator = polynomial(
    (
        -1.45660718464996e-05,
        -2.13374055278905e-04,
        -1.68282697438203e-03,
        -7.37332916720468e-03,
        -1.42647390514189e-02,
    )
)
erf_limit = fill(f32x16, 4.0)
sqrt_half, gelu_cubic = fill(f32x16, 0.70710678118654752), fill(f32x16, 0.044715)
sqrt_two_over_pi = fill(f32x16, 0.79788456080286536)


@njit(forceinline=True)
def erf(x):  # type: ignore[no-untyped-def]
    """The error function."""
    y = maximum(zero() - erf_limit(), minimum(erf_limit(), x))
    square = y * y
    return y * erf_numerator(square) / erf_denominator(square)


@njit(forceinline=True)
def gelu_erf(x):  # type: ignore[no-untyped-def]
    """x * (1 + erf(x / sqrt 2)) / 2: the Gaussian error linear unit as defined."""
    return half() * x * (one() + erf(x * sqrt_half()))


@njit(forceinline=True)
def gelu(x):  # type: ignore[no-untyped-def]
    """x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) / 2: its approximation, which most use.

    Written as x * sigmoid(2 y), the same function: nothing cancels for negative x.
    """
    y = sqrt_two_over_pi() * x * fma(gelu_cubic() * x, x, one())
    return x / (one() + exp(zero() - two() * y))


@njit(forceinline=True)
def relu(x):  # type: ignore[no-untyped-def]
    """x where positive, else 0; NaN for NaN."""
    return maximum(zero(), x)
