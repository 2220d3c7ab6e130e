"""Products of many tokens (prefill): a register tile of rows x tokens.

Sixteen rows are unpacked once into a panel, the layout in which `dot4` takes them: for every four
weights along the row, four bytes of each of the 16 rows. Two panels are multiplied with
`columns` tokens at a time: int32 accumulators in registers, four bytes of activations broadcast
from memory per step, the scales applied once per group of 16 or 32 weights. The panels stay in
the second-level cache while all tokens pass by.

    args  0 weights                     1 bytes of a row
          2 rows                        3 whole steps of 256 per row
          4 blocks behind them          5 records of the activations
          6 bytes from token to token   7 out (f32)
          8 bytes from token to token   9 bias (f32 [rows]) or 0
         10 whether to add to out      11 address of the number of tokens
         12 room for panels            13 bytes of it per thread

The records must be readable up to the next multiple of the tile's columns.
"""

from llvmlite import ir
from numba import njit, types

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.kernels.rows import PREFETCH, copy_tail, spare_room
from zigllm_cli.quants.layouts import LAYOUTS, STEP
from zigllm_cli.quants.unpack import unpacking
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.dot import build_dot4
from zigllm_cli.simd.emit import broadcast, call, emit, load, offset, store
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.memory import (
    load_f32,
    load_f32x16,
    load_i64,
    prefetch,
    stack_room,
    store_f32,
    store_vec,
)
from zigllm_cli.simd.tile import Tile, at, transposed, zero_tile
from zigllm_cli.simd.vector import F32, I32, f32x16, i8x64, i32x16, u8x64

ROWS = 16
"""Rows of a panel: the lanes of an accumulator."""

TILES: dict[str, tuple[int, int]] = {"avx512": (2, 6), "neon": (1, 4)}
"""(panels, columns) of a register tile: integer and float accumulators and what feeds them."""


def tile_shape() -> tuple[int, int]:
    """Panels and columns of the tile on this instruction set."""
    return TILES.get(current().name, (1, 2))


def build(name):
    """The kernel for a weight type."""
    layout = LAYOUTS[name]
    panels, columns = tile_shape()
    pack = pack_panel(name)
    multiply = tile_product(layout, panels, columns)
    write = tile_writer(panels, columns)
    step_bytes = panel_step_bytes(layout)
    rows_per_tile = ROWS * panels
    record = layout.record

    @njit(error_model="numpy")
    def product_of_many(args, thread, threads):
        weights, row_bytes, rows = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        steps, blocks = load_i64(args + 24), load_i64(args + 32)
        stride, out_stride = load_i64(args + 48), load_i64(args + 64)
        bias, add, tokens = load_i64(args + 72), load_i64(args + 80), load_i64(load_i64(args + 88))
        room = load_i64(args + 96) + thread * load_i64(args + 104)
        all_steps = steps + (1 if blocks else 0)
        size = all_steps * step_bytes
        for tile in range(thread, (rows + rows_per_tile - 1) // rows_per_tile, threads):
            row = tile * rows_per_tile
            for n in range(panels):
                first = min(row + n * ROWS, rows - 1)
                pack(weights, row_bytes, first, rows, steps, blocks, room + n * size)
            x, out, left = load_i64(args + 40), load_i64(args + 56) + 4 * row, tokens
            while left > 0:
                sums = multiply(room, size, x, stride, all_steps)
                write(sums, out, out_stride, row, rows, min(left, columns), bias, add)
                x, out, left = x + columns * stride, out + columns * out_stride, left - columns

    return product_of_many


def panel_step_bytes(layout):
    """Bytes of a panel per step: weights, then scales and minima as f32 [group, 16 rows]."""
    return ROWS * (STEP + 4 * layout.groups + 4 * (16 if layout.minima else 0))


# ------------------------------------------------------------------ packing


def pack_panel(name):
    """A Numba function: sixteen rows unpacked and transposed into a panel.

    (weights, bytes of a row, first row, rows, steps, blocks, panel). Rows past the end repeat
    the last one.
    """
    layout, kind, unpack = LAYOUTS[name], tensor_type(name), unpacking(name)
    stage_row, turn = unpack_to_stage(layout, unpack), transpose_stage(layout)
    step_bytes = kind.block_bytes * (STEP // kind.block_size)
    panel_bytes = panel_step_bytes(layout)
    block_bytes = kind.block_bytes
    has_tail = kind.block_size != STEP

    @njit
    def pack(weights, row_bytes, first, rows, steps, blocks, panel):
        stage, spare = stage_room(), spare_room()
        for s in range(steps):
            for j in range(ROWS):
                p = weights + min(first + j, rows - 1) * row_bytes + s * step_bytes
                prefetch(p + PREFETCH)
                stage_row(p, stage + 64 * j)
            turn(stage, panel)
            panel += panel_bytes
        if has_tail and blocks > 0:
            for j in range(ROWS):
                p = weights + min(first + j, rows - 1) * row_bytes + steps * step_bytes
                copy_tail(p, spare, blocks * block_bytes, step_bytes)
                stage_row(spare, stage + 64 * j)
            turn(stage, panel)

    return pack


STAGE = 64 * ROWS
"""Bytes of one vector of each of the 16 rows, as they wait for their transposition."""

stage_room = stack_room(9 * STAGE)


def unpack_to_stage(layout, unpack):
    """A Numba function (weights' address, stage): one row's step, a vector per `STAGE` bytes."""
    count = 4 + layout.chains + bool(layout.minima)

    def build_store(b, stage, *vectors):
        for k, vector in enumerate(vectors):
            store(b, offset(b, stage, STAGE * k), vector, 64)

    kinds = [u8x64] * 4 + [f32x16] * (count - 4)
    store_vectors = emit(types.void, types.int64, *kinds)(build_store)
    weights, scales = unpack.weights, unpack.scales
    if layout.minima:
        minima = unpack.minima

        @njit(forceinline=True)
        def stage_row(p, stage):
            store_vectors(stage, *weights(p), *scales(p), minima(p))

    else:

        @njit(forceinline=True)
        def stage_row(p, stage):
            store_vectors(stage, *weights(p), *scales(p))

    return stage_row


def transpose_stage(layout):
    """An operation (stage, panel): what is staged, by columns, in the order of the groups."""

    def build_transpose(b, stage, panel):
        def columns(k):
            at_row = [offset(b, stage, STAGE * k + 64 * j) for j in range(ROWS)]
            return transposed(b, [load(b, p, i32x16.ir, 64) for p in at_row])

        for v in range(4):
            for lane, column in enumerate(columns(v)):
                store(b, offset(b, panel, 64 * quad_place(layout, v, lane)), column, 64)
        behind = ROWS * STEP
        for chain in range(layout.chains):
            for group, column in enumerate(columns(4 + chain)[:: layout.lanes]):
                place = chain * (16 // layout.lanes) + group
                store(b, offset(b, panel, behind + 64 * place), column, 64)
        if layout.minima:
            behind += 64 * layout.groups
            for lane, column in enumerate(columns(4 + layout.chains)):
                if layout.minima[lane] >= 0:
                    store(b, offset(b, panel, behind + 64 * lane), column, 64)

    return emit(types.void, types.int64, types.int64)(build_transpose)


def quad_place(layout, vector, lane):
    """Where the four weights of a lane stand in a panel: by group, then vector, then lane."""
    chain, within = divmod(vector, layout.vectors)
    group = chain * (16 // layout.lanes) + lane // layout.lanes
    return (group * layout.vectors + within) * layout.lanes + lane % layout.lanes


# ------------------------------------------------------------------ multiplying


def tile_product(layout, panels, columns):
    """A Numba function: the tile of sums of some panels and `columns` tokens.

    (panels, bytes of one, records, bytes from token to token, steps).
    """
    group, minima = group_product(layout, panels, columns), minima_product(layout, panels, columns)
    zeros = zero_tile(f32x16, panels * columns)
    groups, per_chain = layout.groups, 16 // layout.lanes
    group_bytes, chain_bytes = 64 * layout.vectors * layout.lanes, 64 * layout.vectors
    lane_bytes = 4 * layout.lanes
    panel_bytes, record = panel_step_bytes(layout), layout.record
    scales_at, starts_at, minima_at = layout.scales_at, layout.starts_at, layout.minima_at
    weights_bytes, has_minima = ROWS * STEP, bool(layout.minima)
    minima_bytes = weights_bytes + 64 * groups

    @njit
    def multiply(panel, size, x, stride, steps):
        sums = zeros()
        for _ in range(steps):
            for g in range(groups):
                chain, n = g // per_chain, g % per_chain
                lane = 64 * chain + lane_bytes * n
                sums = group(
                    sums,
                    panel + group_bytes * g,
                    panel + weights_bytes + 64 * g,
                    size,
                    x + chain_bytes * chain + lane_bytes * n,
                    x + scales_at + lane,
                    x + starts_at + lane,
                    stride,
                )
            if has_minima:
                sums = minima(sums, panel + minima_bytes, size, x + minima_at, stride)
            panel += panel_bytes
            x += record
        return sums

    return multiply


def group_product(layout, panels, columns):
    """An operation: the weights of one group that share a scale, for the whole tile."""
    tile = Tile(f32x16, panels * columns)

    def build_group(b, sums, quads, scales, size, x, x_scale, x_start, stride):
        xs = [at(b, x, stride, j) for j in range(columns)]
        if layout.offset:
            starts = [broadcast(b, load(b, at(b, x_start, stride, j), I32), 16) for j in range(columns)]
        else:
            starts = [ir.Constant(i32x16.ir, None)] * columns
        dots = [list(starts) for _ in range(panels)]
        for v in range(layout.vectors):
            for n in range(layout.lanes):
                place = 64 * (v * layout.lanes + n)
                ws = [load(b, at(b, offset(b, quads, place), size, p), u8x64.ir, 64) for p in range(panels)]
                for j in range(columns):
                    quad = broadcast(b, load(b, offset(b, xs[j], 64 * v + 4 * n), I32), 16)
                    quad = b.bitcast(quad, i8x64.ir)
                    for p in range(panels):
                        dots[p][j] = build_dot4(b, dots[p][j], ws[p], quad)
        return scaled_sums(b, sums, dots, scales, size, x_scale, stride)

    def scaled_sums(b, sums, dots, scales, size, x_scale, stride):
        for p in range(panels):
            rows = load(b, at(b, scales, size, p), f32x16.ir, 64)
            for j in range(columns):
                k = p * columns + j
                x = broadcast(b, load(b, at(b, x_scale, stride, j), F32), 16)
                real = b.sitofp(dots[p][j], f32x16.ir)
                total = fused(b, real, b.fmul(rows, x), b.extract_value(sums, k))
                sums = b.insert_value(sums, total, k)
        return sums

    return emit(tile, tile, *[types.int64] * 7)(build_group)


def minima_product(layout, panels, columns):
    """An operation: what the minima take away in one step, for the whole tile."""
    tile = Tile(f32x16, panels * columns)

    def build_minima(b, sums, minima, size, x, stride):
        for lane, group in enumerate(layout.minima):
            if group < 0:
                continue
            for p in range(panels):
                rows = load(b, at(b, offset(b, minima, 64 * lane), size, p), f32x16.ir, 64)
                for j in range(columns):
                    k = p * columns + j
                    each = load(b, offset(b, at(b, x, stride, j), 4 * lane), F32)
                    total = fused(b, rows, broadcast(b, each, 16), b.extract_value(sums, k))
                    sums = b.insert_value(sums, total, k)
        return sums

    return emit(tile, tile, *[types.int64] * 4)(build_minima)


def fused(b, x, y, z):
    """IR: x * y + z."""
    return call(b, "llvm.fma.v16f32", f32x16.ir, x, y, z)


# ------------------------------------------------------------------ writing


def tile_writer(panels, columns):
    """A Numba function: a tile of sums to out, with bias and what stood there.

    (sums, address of the first row, bytes from token to token, row, rows, tokens, bias, add).
    """
    tile = Tile(f32x16, panels * columns)
    room = stack_room(64 * panels * columns)

    def build_spill(b, address, sums):
        for p in range(panels):
            for j in range(columns):
                place = offset(b, address, 64 * (j * panels + p))
                store(b, place, b.extract_value(sums, p * columns + j), 64)

    spill = emit(types.void, types.int64, tile)(build_spill)
    width = ROWS * panels

    @njit
    def write(sums, out, stride, row, rows, tokens, bias, add):
        staged = room()
        spill(staged, sums)
        count = min(rows - row, width)
        for j in range(tokens):
            source, target = staged + 4 * width * j, out + j * stride
            for i in range(0, count - 15, 16):
                value = load_f32x16(source + 4 * i)
                if bias:
                    value = value + load_f32x16(bias + 4 * (row + i))
                if add:
                    value = value + load_f32x16(target + 4 * i)
                store_vec(target + 4 * i, value)
            for i in range(count - count % 16, count):
                single = load_f32(source + 4 * i)
                if bias:
                    single += load_f32(bias + 4 * (row + i))
                if add:
                    single += load_f32(target + 4 * i)
                store_f32(target + 4 * i, single)

    return write
