"""Root mean square norm: x / sqrt(mean(x^2) + eps) * weight.

A token's vector is normalised as a whole, or in `parts` equal slices, each on its own, with the
same weight or each with its own: the norm per head that some models put on queries and keys.

    args  0 x (f32 [n, width])          1 bytes from token to token of x
          2 out (may be x)              3 bytes from token to token of out
          4 weight (f32 [width / parts]) or 0   9 bytes of it from part to part, or 0
          5 width                       6 eps (float64)
          7 state                       8 parts
"""

import math

import numpy as np
from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fma, lane_sum, splat_f32x16, zero_f32x16
from zigllm_cli.simd.memory import load_f32x16, load_f64, load_i64


@part
def sum_of_squares(x, count):
    """Of `count` floats at x: 64 running sums, added as a tree."""
    a, b, c, d = zero_f32x16(), zero_f32x16(), zero_f32x16(), zero_f32x16()
    left = count
    while left >= 64:
        u, v = load_f32x16(x), load_f32x16(x + 64)
        w, z = load_f32x16(x + 128), load_f32x16(x + 192)
        a, b, c, d = fma(u, u, a), fma(v, v, b), fma(w, w, c), fma(z, z, d)
        x, left = x + 256, left - 64
    while left > 0:
        u = load_part(x, left)
        a = fma(u, u, a)
        x, left = x + 64, left - 16
    return lane_sum((a + b) + (c + d))


@part
def scale_row(x, out, weight, factor, count):
    """out = x * factor * weight."""
    f = splat_f32x16(factor)
    for i in range(0, count, 16):
        v = load_part(x + 4 * i, count - i) * f
        if weight:
            v = v * load_part(weight + 4 * i, count - i)
        store_part(out + 4 * i, v, count - i)


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def rms_norm(args, thread, threads):
        weight, eps, parts = load_i64(args + 32), load_f64(args + 48), load_i64(args + 64)
        size, step = load_i64(args + 40) // parts, load_i64(args + 72)
        tokens = load_i64(load_i64(args + 56) + 8 * TOKENS)
        first, last = share(tokens * parts, 1, thread, threads)
        for i in range(first, last):
            token, place = i // parts, 4 * size * (i % parts)
            x = load_i64(args) + token * load_i64(args + 8) + place
            out = load_i64(args + 16) + token * load_i64(args + 24) + place
            mean = np.float64(sum_of_squares(x, size)) / size
            factor = np.float32(1.0 / math.sqrt(mean + eps))
            scale_row(x, out, weight + step * (i % parts), factor, size)

    return rms_norm
