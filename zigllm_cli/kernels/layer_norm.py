"""Layer norm: (x - mean) / sqrt(variance + eps) * weight + bias, over a token's vector.

args  0 x (f32 [n, width])          1 bytes from token to token of x
      2 out (may be x)              3 bytes from token to token of out
      4 weight (f32 [width / parts]) or 0   9 bytes of it from part to part, or 0
      5 width                       6 eps (float64)
      7 state                       8 parts, as in `rms_norm`
     10 bias (f32 [width / parts]) or 0    11 bytes of it from part to part, or 0
"""

import math

import numpy as np
from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import (
    first_lanes,
    fma,
    lane_sum,
    select,
    splat_f32x16,
    zero_f32x16,
)
from zigllm_cli.simd.memory import load_f64, load_i64


@part
def sum_of(x, count):
    """The sum of `count` floats at x."""
    total = zero_f32x16()
    for i in range(0, count, 16):
        total = total + load_part(x + 4 * i, count - i)
    return lane_sum(total)


@part
def sum_of_deviations(x, mean, count):
    """The sum of (x - mean)^2 of `count` floats at x."""
    total, m = zero_f32x16(), splat_f32x16(mean)
    for i in range(0, count, 16):
        v = select(first_lanes(count - i), load_part(x + 4 * i, count - i) - m, zero_f32x16())
        total = fma(v, v, total)
    return lane_sum(total)


@part
def normalize_row(x, out, weight, bias, mean, factor, count):
    """out = (x - mean) * factor * weight + bias."""
    m, f = splat_f32x16(mean), splat_f32x16(factor)
    for i in range(0, count, 16):
        v = (load_part(x + 4 * i, count - i) - m) * f
        if weight:
            v = v * load_part(weight + 4 * i, count - i)
        if bias:
            v = v + load_part(bias + 4 * i, count - i)
        store_part(out + 4 * i, v, count - i)


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def layer_norm(args, thread, threads):
        weight, eps, parts = load_i64(args + 32), load_f64(args + 48), load_i64(args + 64)
        bias, size = load_i64(args + 80), load_i64(args + 40) // parts
        step, bias_step = load_i64(args + 72), load_i64(args + 88)
        tokens = load_i64(load_i64(args + 56) + 8 * TOKENS)
        first, last = share(tokens * parts, 1, thread, threads)
        for i in range(first, last):
            token, place = i // parts, 4 * size * (i % parts)
            x = load_i64(args) + token * load_i64(args + 8) + place
            out = load_i64(args + 16) + token * load_i64(args + 24) + place
            mean = np.float32(np.float64(sum_of(x, size)) / size)
            variance = np.float64(sum_of_deviations(x, mean, size)) / size
            factor = np.float32(1.0 / math.sqrt(variance + eps))
            w, b = weight + step * (i % parts), bias + bias_step * (i % parts)
            normalize_row(x, out, w, b, mean, factor, size)

    return layer_norm
