"""Products of many tokens (prefill): a register tile of rows x tokens.

Sixteen rows are unpacked once into a panel, the layout in which `dot4` takes them: for every four
weights along the row, four bytes of each of the 16 rows. Several panels are multiplied with
`columns` tokens at a time: int32 accumulators in registers, four bytes of activations broadcast
from memory per step, the scales applied once per group of 16 or 32 weights. Rows are
taken `BLOCK` steps at a time, so that the panels stay in the first-level cache while all tokens
pass by; the sums wait in the second.

    args  0 weights                     1 bytes of a row
          2 rows                        3 whole steps of 256 per row
          4 blocks behind them          5 records of the activations
          6 bytes from token to token   7 out (f32)
          8 bytes from token to token   9 bias (f32 [rows]) or 0
         10 whether to add to out      11 address of the number of tokens
         12 room for panels            13 bytes of it per thread
         14 address of a counter (`share.claim`)

The records must be readable up to the next multiple of the tile's columns.
"""

from functools import partial
from itertools import chain
from typing import Any

from llvmlite import ir
from numba import njit, types

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.kernels.rows import PREFETCH, copy_tail, spare_room
from zigllm_cli.kernels.share import claim
from zigllm_cli.quants.layouts import LAYOUTS, STEP
from zigllm_cli.quants.unpack import unpacking
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.codebook import table_address
from zigllm_cli.simd.dot import DotSum, is_centred
from zigllm_cli.simd.emit import broadcast, call, emit, fence, load, offset, store
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
from zigllm_cli.simd.tile import at, transposed
from zigllm_cli.simd.vector import F32, I32, I64, f32x16, i8x64, i32x16, u8x64

ROWS = 16
"""Rows of a panel: the lanes of an accumulator."""

PANELS = 4
"""Panels that are unpacked at a time and meet a token while its record is near."""

TILES: dict[str, tuple[int, int]] = {"avx512": (4, 3), "avx2": (2, 2), "neon": (2, 3)}
"""(panels, columns) of a register tile.

Broadcasts from memory seem to be the dearest loads, so more rows than tokens: on one Zen 5 core
Q4_0 multiplies 320 G/s with (4, 3), 290 with (3, 4), 270 with (2, 6), 235 with (1, 12).
"""


def tile_shape() -> tuple[int, int]:
    """Panels and columns of the tile on this instruction set."""
    return TILES.get(current().name, (1, 2))


BLOCK = 1
"""Steps per pass over the tokens: so much of four panels fits the first-level cache beside what
streams past it."""


def build(name):
    """The kernel for a weight type."""
    layout, kind = LAYOUTS[name], tensor_type(name)
    panels, columns = tile_shape()
    pack, multiply = pack_panel(name), tile_product(layout, panels, columns)
    write, clear = tile_writer(panels, columns), tile_clear(PANELS * columns)
    panel_size, width = BLOCK * panel_step_bytes(layout), ROWS * PANELS
    step_bytes, record = kind.block_bytes * (STEP // kind.block_size), layout.record
    tile_bytes = 64 * panels * columns

    @njit(error_model="numpy")
    def product_of_many(args, thread, threads):
        weights, row_bytes, rows = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        steps, blocks = load_i64(args + 24), load_i64(args + 32)
        stride, out_stride = load_i64(args + 48), load_i64(args + 64)
        bias, add, tokens = load_i64(args + 72), load_i64(args + 80), load_i64(load_i64(args + 88))
        room = load_i64(args + 96) + thread * load_i64(args + 104)
        all_steps = steps + (1 if blocks else 0)
        counter, tiles = load_i64(args + 112), (rows + width - 1) // width
        tile = claim(counter, tiles, threads)
        while tile < tiles:
            row = tile * width
            for start in range(0, all_steps, BLOCK):
                count = min(BLOCK, all_steps - start)
                whole = min(BLOCK, steps - start)
                for n in range(PANELS):
                    base = weights + start * step_bytes
                    behind = blocks if whole < count else 0
                    first = min(row + n * ROWS, rows - 1)
                    pack(base, row_bytes, first, rows, whole, behind, room + n * panel_size)
                saved = room + PANELS * panel_size
                x, out = load_i64(args + 40) + start * record, load_i64(args + 56) + 4 * row
                left = tokens
                while left > 0:
                    if start == 0:
                        clear(saved)
                    for n in range(0, PANELS, panels):
                        multiply(saved, room + n * panel_size, panel_size, x, stride, count)
                        if start + count == all_steps:
                            first, there = row + n * ROWS, min(left, columns)
                            write(saved, out + 64 * n, out_stride, first, rows, there, bias, add)
                        saved += tile_bytes
                    x, out = x + columns * stride, out + columns * out_stride
                    left -= columns
            tile = claim(counter, tiles, threads)

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

        turned = [columns(v) for v in range(4)]
        for place, (vector, lane) in enumerate(quads_of(layout)):
            store(b, offset(b, panel, 64 * place), turned[vector][lane], 64)
        behind = ROWS * STEP
        scales = [columns(4 + k) for k in range(layout.chains)]
        for place, (k, lane) in enumerate(chain.from_iterable(parts_of(layout))):
            store(b, offset(b, panel, behind + 64 * place), scales[k][lane], 64)
        if layout.minima:
            behind += 64 * layout.groups
            for lane, column in enumerate(columns(4 + layout.chains)):
                if layout.minima[lane] >= 0:
                    store(b, offset(b, panel, behind + 64 * lane), column, 64)

    return emit(types.void, types.int64, types.int64)(build_transpose)


def parts_of(layout):
    """For every 32 activations of a step, which share a scale: (chain, first lane) of the weights'
    groups that meet them, one or two."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(STEP // 32)]
    for k, lanes in enumerate(layout.lane_groups):
        for lane in range(0, 16, layout.lanes):
            found[lanes[lane]].append((k, lane))
    return found


def quads_of(layout):
    """(vector, lane) of every four weights, in the order of a panel: by group, vector, lane."""
    return [
        (layout.vectors * k + v, lane + n)
        for parts in parts_of(layout)
        for k, lane in parts
        for v in range(layout.vectors)
        for n in range(layout.lanes)
    ]


# ------------------------------------------------------------------ multiplying


def tile_product(layout, panels, columns):
    """A Numba function: the sums of a tile, gone on with.

    (sums, panels, bytes of one, records, bytes from token to token, steps).
    """
    group, minima = group_product(layout, panels, columns), minima_product(layout, panels, columns)
    panel_bytes, record = panel_step_bytes(layout), layout.record
    minima_at, has_minima = layout.minima_at, bool(layout.minima)
    scales_bytes, minima_bytes = ROWS * STEP, ROWS * STEP + 64 * layout.groups
    parts = 32 // layout.group
    places = offsets_of(layout)

    @njit(forceinline=True)
    def multiply(sums, panel, size, x, stride, steps):
        for _ in range(steps):
            for k in range(STEP // 32):
                quads, scales = panel + 512 * k, panel + scales_bytes + 64 * parts * k
                group(sums, quads, scales, size, x, places() + 16 * parts * k, stride)
            if has_minima:
                minima(sums, panel + minima_bytes, size, x + minima_at, stride)
            panel += panel_bytes
            x += record

    return multiply


def offsets_of(layout):
    """An operation: the address of a constant table, for each part of each 32 activations the
    offset in a record of its bytes and of its scale (relative to the scales)."""
    words = [
        word
        for parts in parts_of(layout)
        for k, lane in parts
        for word in (64 * layout.vectors * k + 4 * lane, 64 * k + 4 * lane)
    ]

    def build_offsets(b):
        return table_address(b, "record_offsets", I64, words)

    return emit(types.int64)(build_offsets)


def group_product(layout, panels, columns):
    """An operation: what 32 activations of each token add to a tile.

    (sums, quads, scales, bytes from panel to panel, record, offsets, bytes from token to token).
    """
    parts = 32 // layout.group
    quads_per_part = layout.group // 4

    def build_group(b, sums, quads, scales, size, x, places, stride):
        totals = [[None] * columns for _ in range(panels)]
        for part in range(parts):
            at_bytes = load(b, offset(b, places, 16 * part), I64)
            at_scale = load(b, offset(b, places, 16 * part + 8), I64)
            here = offset(b, quads, 64 * quads_per_part * part)
            dots = part_dots(b, here, size, x, at_bytes, at_scale, stride)
            for p in range(panels):
                rows = load(b, offset(b, at(b, scales, size, p), 64 * part), f32x16.ir, 64)
                for j in range(columns):
                    real, total = b.sitofp(dots[p][j].value(), f32x16.ir), totals[p][j]
                    totals[p][j] = fused(b, real, rows, total) if total else b.fmul(real, rows)
        scale = offset(b, b.add(x, at_scale), layout.scales_at)
        for j in range(columns):
            factor = load_broadcast(b, at(b, scale, stride, j), F32)
            for p in range(panels):
                add_to(b, sums, p * columns + j, totals[p][j], factor)

    def part_dots(b, quads, size, x, at_bytes, at_scale, stride):
        xs = [at(b, b.add(x, at_bytes), stride, j) for j in range(columns)]
        starts: list[Any] = [None] * columns
        if layout.offset and not is_centred(layout.most):
            first = offset(b, b.add(x, at_scale), layout.starts_at)
            places = [at(b, first, stride, j) for j in range(columns)]
            starts = [partial(load_broadcast, b, place, I32) for place in places]
        dots = [[DotSum(b, start, layout.most) for start in starts] for _ in range(panels)]
        for v in range(layout.vectors):
            for n in range(layout.lanes):
                quad = offset(b, quads, 64 * (v * layout.lanes + n))
                four = [load_broadcast(b, offset(b, p, 64 * v + 4 * n), I32) for p in xs]
                four = [b.bitcast(each, i8x64.ir) for each in four]
                for p in range(panels):
                    w = load(b, at(b, quad, size, p), u8x64.ir, 64)
                    for j in range(columns):
                        dots[p][j].add(w, four[j])
                fence(b)
        return dots

    return emit(types.void, *[types.int64] * 7)(build_group)


def minima_product(layout, panels, columns):
    """An operation: what the minima take away in one step, for the whole tile."""

    def build_minima(b, sums, minima, size, x, stride):
        lanes = [lane for lane, group in enumerate(layout.minima) if group >= 0]
        for p in range(panels):
            base = at(b, minima, size, p)
            rows = [load(b, offset(b, base, 64 * lane), f32x16.ir, 64) for lane in lanes]
            for j in range(columns):
                xs = at(b, x, stride, j)
                place = offset(b, sums, 64 * (p * columns + j))
                total = load(b, place, f32x16.ir, 64)
                for lane, row in zip(lanes, rows, strict=True):
                    total = fused(b, row, load_broadcast(b, offset(b, xs, 4 * lane), F32), total)
                store(b, place, total, 64)

    return emit(types.void, *[types.int64] * 5)(build_minima)


def load_broadcast(b, address, kind):
    """IR: 32 bits of memory in all lanes."""
    return broadcast(b, load(b, address, kind), 16)


def add_to(b, sums, place, x, y):
    """IR: sums[place] += x * y."""
    address = offset(b, sums, 64 * place)
    store(b, address, fused(b, x, y, load(b, address, f32x16.ir, 64)), 64)


def fused(b, x, y, z):
    """IR: x * y + z."""
    return call(b, "llvm.fma.v16f32", f32x16.ir, x, y, z)


# ------------------------------------------------------------------ writing


def tile_clear(vectors):
    """An operation: zeros to the sums of a tile."""

    def build_clear(b, sums):
        for place in range(vectors):
            store(b, offset(b, sums, 64 * place), ir.Constant(f32x16.ir, None), 64)

    return emit(types.void, types.int64)(build_clear)


def tile_writer(panels, columns):
    """A Numba function: a tile of sums to out, with bias and what stood there.

    (sums, address of the first row, bytes from token to token, row, rows, tokens, bias, add).
    """

    @njit
    def write(sums, out, stride, row, rows, tokens, bias, add):
        for p in range(panels):
            count = min(rows - row - ROWS * p, ROWS)
            for j in range(tokens):
                source = sums + 64 * (p * columns + j)
                target = out + j * stride + 64 * p
                if count == ROWS:
                    value = load_f32x16(source)
                    if bias:
                        value = value + load_f32x16(bias + 4 * row + 64 * p)
                    if add:
                        value = value + load_f32x16(target)
                    store_vec(target, value)
                else:
                    for i in range(count):
                        single = load_f32(source + 4 * i)
                        if bias:
                            single += load_f32(bias + 4 * (row + i) + 64 * p)
                        if add:
                            single += load_f32(target + 4 * i)
                        store_f32(target + 4 * i, single)

    return write
