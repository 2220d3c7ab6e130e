"""Products with chosen matrices of a stack (mixture of experts), row by row: for few tokens.

The batch's (token, expert) pairs stand sorted by expert, so each expert's pairs are one run and its
weights are read once for all of them; an expert that nobody chose is not touched. The products are
those of `rows` and `float_rows`.

    args  0 addresses of the matrices (int64 [experts])
          1 bytes of a row              2 rows
          3 whole steps of 256 per row (or values, of float weights)
          4 blocks behind them          5 x: a row per pair, records (or floats)
          6 bytes from pair to pair of x; 0 where all share one row
          7 out (f32)                   8 bytes from pair to pair of out
          9 bias (f32 [experts, rows]) or 0
         10 runs (`expert_runs`)       11 pairs from one of a run to its next
         12 state
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels import float_rows, rows
from zigllm_cli.kernels.expert_runs import COUNT, FIRST, LIST, RUN
from zigllm_cli.kernels.rows import spare_for, spare_room
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.quants.layouts import LAYOUTS
from zigllm_cli.simd.memory import load_f32, load_i64


def row_of(name, columns, words):
    """A Numba function: one row of weights of any type times `columns` rows of x."""
    if name not in float_rows.BYTES:
        return rows.row_of(name, columns, words)
    product = float_rows.row_of(name, columns)

    @njit(forceinline=True)
    def row(p, x, stride, ahead, values, blocks, spare, out, out_stride, add, bias):
        product(p, x, stride, values, out, out_stride, add, bias)

    return row


def row_of_any(name, few, words=False):
    """A Numba function: one row of weights times `count` rows of x (only one, unless `few`)."""
    one = row_of(name, 1, words)

    @njit(forceinline=True)
    def only_one(p, x, stride, ahead, whole, blocks, spare, out, out_stride, bias, count):
        one(p, x, stride, ahead, whole, blocks, spare, out, out_stride, 0, bias)

    if not few:
        return only_one

    two, four, eight = (row_of(name, columns, words) for columns in (2, 4, 8))

    @njit
    def any_number(p, x, stride, ahead, whole, blocks, spare, out, out_stride, bias, count):
        while count >= 8:
            eight(p, x, stride, ahead, whole, blocks, spare, out, out_stride, 0, bias)
            x, out, count = x + 8 * stride, out + 8 * out_stride, count - 8
        if count >= 4:
            four(p, x, stride, ahead, whole, blocks, spare, out, out_stride, 0, bias)
            x, out, count = x + 4 * stride, out + 4 * out_stride, count - 4
        if count >= 2:
            two(p, x, stride, ahead, whole, blocks, spare, out, out_stride, 0, bias)
            x, out, count = x + 2 * stride, out + 2 * out_stride, count - 2
        if count:
            one(p, x, stride, ahead, whole, blocks, spare, out, out_stride, 0, bias)

    return any_number


@njit(forceinline=True)
def run_length(run, args):
    """Pairs of a run: as it says, or all tokens of the step."""
    count = load_i64(run + COUNT)
    return count if count >= 0 else load_i64(load_i64(args + 96) + 8 * TOKENS)


def build(name, few):
    """The kernel for a weight type: runs of one pair, or (`few`) of any number."""
    product = row_of_any(name, few)
    record = 0 if name in float_rows.BYTES else LAYOUTS[name].record

    @njit(error_model="numpy")
    def expert_rows(args, thread, threads):
        row_bytes, rows = load_i64(args + 8), load_i64(args + 16)
        whole, blocks = load_i64(args + 24), load_i64(args + 32)
        x_bytes, out_bytes = load_i64(args + 48), load_i64(args + 64)
        bias, runs, step = load_i64(args + 72), load_i64(args + 80), load_i64(args + 88)
        room = spare_room()
        first, last = share(load_i64(runs) * rows, 16, thread, threads)
        while first < last:
            run, row = runs + LIST + RUN * (first // rows), first % rows
            expert, pair, count = load_i64(run), load_i64(run + FIRST), run_length(run, args)
            weights = load_i64(load_i64(args) + 8 * expert)
            x, out = load_i64(args + 40) + pair * x_bytes, load_i64(args + 56) + pair * out_bytes
            stop = min(rows, row + last - first)
            for r in range(row, stop):
                b = load_f32(bias + 4 * (expert * rows + r)) if bias else np.float32(0)
                spare = spare_for(r, rows, whole, room)
                p, y, stride = weights + r * row_bytes, out + 4 * r, step * x_bytes
                product(p, x, stride, record, whole, blocks, spare, y, step * out_bytes, b, count)
            first += stop - row

    return expert_rows
