"""Sums and simple functions of a token's values, in place.

args  0 out (f32 [n, width])        1 bytes from token to token (of out, and of x for `add`)
      2 width                       3 a number (f64), whose meaning is the variant's
      4 other values, for the sums  5 state

scale     out *= number             add       out += number * x, of the same shape
soft_cap  out = number * tanh(out / number)
clamp     out to -number .. number  add_same  out += number * x, one row for all tokens
                                    add_row   out += number * the row of the token's position
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import POSITIONS, TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fma, maximum, minimum, splat_f32x16, zero_f32x16
from zigllm_cli.simd.math import tanh
from zigllm_cli.simd.memory import load_f64, load_i64


@part
def scaled(v, x, number):
    """v * number."""
    return v * splat_f32x16(number)


@part
def capped(v, x, number):
    """number * tanh(v / number)."""
    return tanh(v * splat_f32x16(np.float32(1) / number)) * splat_f32x16(number)


@part
def clamped(v, x, number):
    """Between -number and number."""
    return minimum(maximum(v, splat_f32x16(-number)), splat_f32x16(number))


@part
def added(v, x, number):
    """v + number * x."""
    return fma(x, splat_f32x16(number), v)


VARIANTS = {
    "scale": (scaled, None),
    "soft_cap": (capped, None),
    "clamp": (clamped, None),
    "add": (added, "token"),
    "add_row": (added, "position"),
    "add_same": (added, "same"),
}
"""The function, and which row of the other values a token gets."""


def build(variant):
    """The kernel of one variant."""
    apply, row_of = VARIANTS[variant]
    has_other, by_token, by_position = row_of is not None, row_of == "token", row_of == "position"

    @njit(error_model="numpy")
    def elementwise(args, thread, threads):
        step, width, other = load_i64(args + 8), load_i64(args + 16), load_i64(args + 32)
        number, state = np.float32(load_f64(args + 24)), load_i64(args + 40)
        tokens, positions = load_i64(state + 8 * TOKENS), load_i64(state + 8 * POSITIONS)
        first, last = share(width, 16, thread, threads)
        for token in range(tokens):
            out, x = load_i64(args) + token * step, other
            if by_token:
                x += token * step
            if by_position:
                x += load_i64(positions + 8 * token) * step
            for i in range(first, last, 16):
                u = load_part(x + 4 * i, width - i) if has_other else zero_f32x16()
                v = apply(load_part(out + 4 * i, width - i), u, number)
                store_part(out + 4 * i, v, width - i)

    return elementwise
