"""Products with chosen matrices of a stack (mixture of experts), many tokens (prefill).

    args  0..12 as in `expert_rows`
         13 room for panels            14 bytes of it per thread
         15 address of a counter (`share.claim_any`)

Threads claim pieces: some rows of one expert, times all pairs of its run. Runs of `FEW` pairs
and more are multiplied in register tiles (`panels`, `float_panels`), shorter ones row by row.
"""

import numpy as np
from numba import njit

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.kernels import float_panels, float_rows, panels
from zigllm_cli.kernels.expert_rows import row_of_any, run_length
from zigllm_cli.kernels.expert_runs import FIRST, LIST, RUN
from zigllm_cli.kernels.rows import spare_room
from zigllm_cli.kernels.share import claim_any
from zigllm_cli.quants.layouts import LAYOUTS, STEP
from zigllm_cli.simd.memory import load_f32, load_i64
from zigllm_cli.simd.tile import tile_load, tile_store, zero_tile
from zigllm_cli.simd.vector import f32x16

FEW = 9
"""From this many pairs on a run's weights are unpacked to panels."""

ROWS = 16


@njit(forceinline=True)
def strides(args):
    """Bytes from one pair of a run to its next: of x, and of out."""
    step = load_i64(args + 88)
    return step * load_i64(args + 48), step * load_i64(args + 64)


def quantised_tile(name):
    """(a Numba function, the rows it takes): rows of one expert from `row` on times all its pairs.

    (args, weights of the expert, its bias, row, room, its x, its out at the row, pairs).
    """
    layout, kind = LAYOUTS[name], tensor_type(name)
    count, columns = panels.tile_shape()
    pack, multiply = panels.pack_panel(name), panels.tile_product(layout, count, columns)
    write, clear = panels.tile_writer(count, columns), panels.tile_clear(count * columns)
    block, record, width = panels.BLOCK, layout.record, ROWS * count
    panel_size, tile_bytes = block * panels.panel_step_bytes(layout), 64 * count * columns
    step_bytes = kind.block_bytes * (STEP // kind.block_size)

    @njit
    def tile(args, weights, bias, row, room, x, out, pairs):
        row_bytes, rows = load_i64(args + 8), load_i64(args + 16)
        steps, blocks = load_i64(args + 24), load_i64(args + 32)
        stride, out_stride = strides(args)
        all_steps = steps + (1 if blocks else 0)
        for start in range(0, all_steps, block):
            count_now, whole = min(block, all_steps - start), min(block, steps - start)
            behind = blocks if whole < count_now else 0
            for n in range(count):
                first = min(row + n * ROWS, rows - 1)
                base = weights + start * step_bytes
                pack(base, row_bytes, first, rows, whole, behind, room + n * panel_size)
            saved, xs, ys, left = room + count * panel_size, x + start * record, out, pairs
            while left > 0:
                if start == 0:
                    clear(saved)
                multiply(saved, room, panel_size, xs, stride, count_now)
                if start + count_now == all_steps:
                    write(saved, ys, out_stride, row, rows, min(left, columns), bias, 0)
                xs, ys = xs + columns * stride, ys + columns * out_stride
                left, saved = left - columns, saved + tile_bytes

    return tile, width


def float_tile(name):
    """As `quantised_tile`, for weights that are floats."""
    count, columns = float_panels.tile_shape()
    pack, multiply = float_panels.pack_panel(name), float_panels.tile_product(count, columns)
    write, zeros = panels.tile_writer(count, columns), zero_tile(f32x16, count * columns)
    restore = tile_load(f32x16, count * columns)
    block, size, width = float_panels.BLOCK, float_rows.BYTES[name], ROWS * count
    panel_size, tile_bytes = 4 * ROWS * block, 64 * count * columns

    @njit
    def tile(args, weights, bias, row, room, x, out, pairs):
        row_bytes, rows, values = load_i64(args + 8), load_i64(args + 16), load_i64(args + 24)
        stride, out_stride = strides(args)
        for start in range(0, values, block):
            count_now = min(block, values - start)
            for n in range(count):
                base = weights + start * size
                pack(base, row_bytes, row + n * ROWS, rows, count_now, room + n * panel_size)
            saved, xs, ys, left = room + count * panel_size, x + 4 * start, out, pairs
            while left > 0:
                sums = restore(saved, 64) if start else zeros()
                last = min(left, columns) - 1
                sums = multiply(sums, room, xs, stride, count_now, last)
                tile_store(saved, 64, sums)
                if start + count_now == values:
                    write(saved, ys, out_stride, row, rows, last + 1, bias, 0)
                xs, ys = xs + columns * stride, ys + columns * out_stride
                left, saved = left - columns, saved + tile_bytes

    return tile, width


def build(name):
    """The kernel for a weight type."""
    product = row_of_any(name, 1)
    tile, width = float_tile(name) if name in float_rows.BYTES else quantised_tile(name)

    @njit(error_model="numpy")
    def expert_panels(args, thread, threads):
        row_bytes, rows = load_i64(args + 8), load_i64(args + 16)
        whole, blocks = load_i64(args + 24), load_i64(args + 32)
        x_bytes, out_bytes = load_i64(args + 48), load_i64(args + 64)
        runs, counter = load_i64(args + 80), load_i64(args + 120)
        room, spare = load_i64(args + 104) + thread * load_i64(args + 112), spare_room()
        stride, out_stride = strides(args)
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
                tile(args, weights, bias, row, room, x, out + 4 * row, count)
            else:
                for r in range(row, min(row + width, rows)):
                    b = load_f32(bias + 4 * r) if bias else np.float32(0)
                    p, y = weights + r * row_bytes, out + 4 * r
                    product(p, x, stride, whole, blocks, spare, y, out_stride, b, count)
            piece = claim_any(counter, pieces, threads)

    return expert_panels
