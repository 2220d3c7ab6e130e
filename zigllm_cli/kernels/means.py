"""The means of runs of rows: a text's vector from the hidden states of its tokens.

    args  0 x (f32 [n, width])      1 width
          2 the end of each run (int64), the first of which begins at row 0
          3 runs                    4 out (f32 [runs, width])

Sums are Kahan's (1965): what a sum rounds away joins the next row, so many rows are as exact as
few.
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.share import share
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import splat_f32x16, zero_f32x16
from zigllm_cli.simd.memory import load_i64


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def means(args, thread, threads):
        x, width, ends = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        first, last = share(load_i64(args + 24), 1, thread, threads)
        for run in range(first, last):
            start, end = load_i64(ends + 8 * run - 8) if run else 0, load_i64(ends + 8 * run)
            out, rows = load_i64(args + 32) + 4 * width * run, splat_f32x16(np.float32(end - start))
            for i in range(0, width, 16):
                total, lost = zero_f32x16(), zero_f32x16()
                for row in range(start, end):
                    value = load_part(x + 4 * (row * width + i), width - i) - lost
                    grown = total + value
                    lost, total = (grown - total) - value, grown
                store_part(out + 4 * i, total / rows, width - i)

    return means
