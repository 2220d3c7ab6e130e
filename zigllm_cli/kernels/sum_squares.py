"""The squares of every column, added up over tokens, in double precision.

    args  0 x (f32 [n, width])      1 bytes from token to token of x
          2 width                   3 sums (f64 [width]), added to
          4 state

Threads share out the columns, so no sum is made by two of them.
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd.memory import load_f32, load_f64, load_i64, store_f64


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def sum_squares(args, thread, threads):
        x, stride, width = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        sums, tokens = load_i64(args + 24), load_i64(load_i64(args + 32) + 8 * TOKENS)
        first, last = share(width, 16, thread, threads)
        for token in range(tokens):
            row = x + token * stride
            for column in range(first, last):
                v = np.float64(load_f32(row + 4 * column))
                store_f64(sums + 8 * column, load_f64(sums + 8 * column) + v * v)

    return sum_squares
