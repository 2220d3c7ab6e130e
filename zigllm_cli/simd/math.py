"""Transcendental functions of sixteen floats: exponentials, sigmoid, hyperbolic tangent, GELU,
softplus.

Polynomials without tables or branches. Sources: `exp`, `exp2`, `tanh` and the logarithm in
`softplus` use those of Cephes (Moshier: expf.c, exp2f.c, tanhf.c, logf.c); that of `gelu_erf` was
fitted here (scripts/fit_gelu.py).
Relative errors against float64 over the whole range, as tested: 1e-7 for the exponentials, 2e-7
for the rest (the two GELUs: of their largest intermediate).
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


@emit(f32x16, f32x16, f32x16)
def copy_sign(b: Any, size: Any, sign: Any) -> Any:
    """Lanes of `size` with the signs of `sign`."""
    return call(b, "llvm.copysign.v16f32", f32x16.ir, size, sign)


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


tanh_small = polynomial(
    (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
)
tanh_split = fill(f32x16, 0.625)


@njit(forceinline=True)
def tanh(x):  # type: ignore[no-untyped-def]
    """The hyperbolic tangent."""
    square = x * x
    small = fma(x * square, tanh_small(square), x)
    size = one() - two() / (exp(two() * absolute(x)) + one())
    return select(greater(tanh_split(), absolute(x)), small, copy_sign(size, x))


minus_one, gelu_limit = fill(f32x16, -1.0), fill(f32x16, -8.0)
gelu_tail_root = polynomial(
    (
        -2.98975948e-7,
        -7.50724257e-6,
        -6.03175577e-5,
        -3.41549203e-5,
        1.50518655e-3,
        6.73354953e-4,
        -3.19270231e-2,
        9.14577469e-2,
        9.17004049e-1,
    )
)


@njit(forceinline=True)
def gelu_erf(x):  # type: ignore[no-untyped-def]
    """x * (1 + erf(x / sqrt 2)) / 2: the Gaussian error linear unit as defined.

    That is relu(x) less |x| times the tail of the normal distribution beyond |x|. The eighth
    root of that tail is nearly straight, so a short polynomial does (below 0 from 7.96 on).
    """
    down = maximum(gelu_limit(), copy_sign(x, minus_one()))
    tail = maximum(zero(), gelu_tail_root(down))
    tail = tail * tail
    tail = tail * tail
    return fma(down, tail * tail, maximum(zero(), x))


gelu_cubic = fill(f32x16, 0.044715)
sqrt_two_over_pi = fill(f32x16, 0.79788456080286536)


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


log_of_part = polynomial(
    (
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    )
)
sqrt_two_less_one, ln2 = fill(f32x16, 0.41421356), fill(f32x16, 0.69314718)


@njit(forceinline=True)
def softplus(x):  # type: ignore[no-untyped-def]
    """log(1 + e^x), written so that nothing overflows and small results keep their digits."""
    t = exp(zero() - absolute(x))  # 0 to 1
    halved = greater(t, sqrt_two_less_one())
    part = select(halved, half() * (t - one()), t)  # 1 + t, halved where large, less 1
    square = part * part
    log = fma(log_of_part(part) * square, part, fma(zero() - half(), square, part))
    return maximum(x, zero()) + select(halved, log + ln2(), log)
