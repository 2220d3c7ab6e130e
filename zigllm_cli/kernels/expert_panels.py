"""Products with chosen matrices of a stack (mixture of experts), many tokens (prefill).

    args  0..12 as in `expert_rows`
         13 room for panels            14 bytes of it per thread
         15 address of a counter (`share.claim_any`)
         16 bytes from step to step of x, where x is records

Threads claim pieces: some rows of one expert, times all pairs of its run. Runs of `FEW` pairs
and more are multiplied in register tiles (`panels`, `float_panels`), shorter ones row by row.
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels import float_panels, float_rows, panels
from zigllm_cli.kernels.expert_rows import row_of_any, run_length
from zigllm_cli.kernels.expert_runs import FIRST, LIST, RUN
from zigllm_cli.kernels.rows import spare_room
from zigllm_cli.kernels.share import claim_any
from zigllm_cli.quants.layouts import LAYOUTS
from zigllm_cli.simd.memory import load_f32, load_i64

FEW = 9
"""From this many pairs on a run's weights are unpacked to panels."""


@njit(forceinline=True)
def strides(args):
    """Bytes from one pair of a run to its next: of x, and of out."""
    step = load_i64(args + 88)
    return step * load_i64(args + 48), step * load_i64(args + 64)


def build(name):
    """The kernel for a weight type."""
    is_float = name in float_rows.BYTES
    product = row_of_any(name, 1, not is_float and LAYOUTS[name].words)
    kind = float_panels if is_float else panels
    multiply, width = kind.rows_times_tokens(name)

    @njit(error_model="numpy")
    def expert_panels(args, thread, threads):
        row_bytes, rows = load_i64(args + 8), load_i64(args + 16)
        whole, blocks = load_i64(args + 24), load_i64(args + 32)
        x_bytes, out_bytes = load_i64(args + 48), load_i64(args + 64)
        runs, counter = load_i64(args + 80), load_i64(args + 120)
        room, spare = load_i64(args + 104) + thread * load_i64(args + 112), spare_room()
        (stride, out_stride), ahead = strides(args), load_i64(args + 128)
        tiles = (rows + width - 1) // width
        pieces = load_i64(runs) * tiles
        piece = claim_any(counter, pieces, threads)
        while piece < pieces:
            run, row = runs + LIST + RUN * (piece // tiles), piece % tiles * width
            expert, pair, count = load_i64(run), load_i64(run + FIRST), run_length(run, args)
            weights = load_i64(load_i64(args) + 8 * expert)
            x, out = load_i64(args + 40) + pair * x_bytes, load_i64(args + 56) + pair * out_bytes
            bias = load_i64(args + 72)
            bias = bias + 4 * expert * rows if bias else 0
            if count >= FEW:
                matrix = (weights, row_bytes, rows, whole, blocks)
                place = (out, out_stride, bias, 0)
                multiply(matrix, row, room, (x, stride, ahead), count, place)
            else:
                for r in range(row, min(row + width, rows)):
                    b = load_f32(bias + 4 * r) if bias else np.float32(0)
                    p, y = weights + r * row_bytes, out + 4 * r
                    product(p, x, stride, ahead, whole, blocks, spare, y, out_stride, b, count)
            piece = claim_any(counter, pieces, threads)

    return expert_panels
