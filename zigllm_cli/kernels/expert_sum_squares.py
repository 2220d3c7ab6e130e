"""The squares of every column of what each expert takes, added up in double precision.

    args  0 x (f32 [n, columns])        1 columns
          2 runs (see `expert_runs`)    3 used per token, if x has one row per token; else 0
          4 sources                     5 sums (f64 [experts, columns]), added to
          6 counts (int64 [experts]), added to

Without a row per token, x stands in the order of the runs. Threads share out the columns, so no
sum is made by two of them.
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.expert_runs import COUNT, FIRST, LIST, RUN
from zigllm_cli.kernels.share import share
from zigllm_cli.simd.memory import load_f32, load_f64, load_i64, store_f64, store_i64


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def expert_sum_squares(args, thread, threads):
        x, columns, runs = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        used, sources, counts = load_i64(args + 24), load_i64(args + 32), load_i64(args + 48)
        first, last = share(columns, 16, thread, threads)
        for number in range(load_i64(runs)):
            run = runs + LIST + RUN * number
            expert, start, count = load_i64(run), load_i64(run + FIRST), load_i64(run + COUNT)
            sums = load_i64(args + 40) + 8 * columns * expert
            for place in range(start, start + count):
                row = load_i64(sources + 8 * place) // used if used else place
                values = x + 4 * columns * row
                for column in range(first, last):
                    v = np.float64(load_f32(values + 4 * column))
                    store_f64(sums + 8 * column, load_f64(sums + 8 * column) + v * v)
            if thread == 0:
                store_i64(counts + 8 * expert, load_i64(counts + 8 * expert) + count)

    return expert_sum_squares
