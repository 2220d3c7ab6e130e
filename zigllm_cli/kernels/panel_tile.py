"""A register tile: the sums of some rows x some tokens, in registers for 32 activations at a time.

Bytes of activations are broadcast four at a time and meet four weights of each row (`panel_pack`);
the scales are applied once per group of 16 or 32 weights, to sums that wait in memory.
"""

from functools import partial

from llvmlite import ir
from numba import njit, types

from zigllm_cli.kernels.panel_pack import parts_of, weights_bytes
from zigllm_cli.quants.layouts import STEP
from zigllm_cli.simd.codebook import table_address
from zigllm_cli.simd.dot import DotSum, WordSum, in_words
from zigllm_cli.simd.emit import broadcast, call, emit, fence, load, offset, store
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.tile import at
from zigllm_cli.simd.vector import F32, I8, I32, I64, f32x16

TILES: dict[str, tuple[int, int]] = {"avx512": (4, 3), "avx2": (2, 2), "neon": (2, 3)}
"""(panels, columns) of a register tile.

Broadcasts from memory seem to be the dearest loads, so more rows than tokens: on one Zen 5 core
Q4_0 multiplies 320 G/s with (4, 3), 290 with (3, 4), 270 with (2, 6), 235 with (1, 12).
"""


def tile_shape(layout):
    """Panels and columns of the tile on this instruction set."""
    if current().name == "avx2" and layout.group == 16 and in_words(layout.most) < 4:
        return 1, 2  # sums of 32 bits, and of floats: 8 registers
    return TILES.get(current().name, (1, 2))


def tile_product(layout, panels, columns):
    """A Numba function: the sums of a tile, gone on with by one step, or the first groups of it.

    (sums, panels, bytes of one, records, bytes from token to token, groups of 32).
    """
    group, minima = group_product(layout, panels, columns), minima_product(layout, panels, columns)
    minima_at, has_minima = layout.minima_at, bool(layout.minima)
    scales_at = weights_bytes(layout)
    minima_bytes, group_bytes = scales_at + 64 * layout.groups, scales_at // (STEP // 32)
    parts = 32 // layout.group
    places = offsets_of(layout)

    @njit(forceinline=True)
    def multiply(sums, panel, size, x, stride, groups):
        for k in range(groups):
            quads, scales = panel + group_bytes * k, panel + scales_at + 64 * parts * k
            there = places() + 16 * parts * k
            group(sums, quads, scales, size, x, stride, there)
        if has_minima:
            minima(sums, panel + minima_bytes, size, x + minima_at, stride)

    return multiply


def offsets_of(layout):
    """An operation: the address of a constant table, for each part of each 32 activations the
    offset of its values in a record, and that of its scale (relative to the scales)."""
    size = 128 if layout.words else 64
    words = [
        word
        for group, parts in enumerate(parts_of(layout))
        for k, lane in parts
        for word in (
            size * layout.vectors * k + 4 * lane,
            4 * group if layout.words else 64 * k + 4 * lane,
        )
    ]

    def build_offsets(b):
        return table_address(b, "record_offsets", I64, words)

    return emit(types.int64)(build_offsets)


def group_product(layout, panels, columns):
    """An operation: what 32 activations of each token add to a tile.

    (sums, quads, scales, bytes from panel to panel, records, bytes from token to token, offsets).
    """
    parts, wide = 32 // layout.group, layout.words
    lanes = 8 if current().name == "avx2" else 16
    units = [(p, 4 * lane) for p in range(panels) for lane in range(0, 16, lanes)]
    floats, values = ir.VectorType(F32, lanes), ir.VectorType(I8, 4 * lanes)
    steps = [
        (128 * v + 64 * part if wide else 64 * v) + 4 * n
        for v in range(layout.vectors)
        for n in range(layout.lanes)
        for part in range(2 if wide else 1)
    ]
    together = run_length(layout)
    runs = [range(k, k + together) for k in range(0, len(steps), together)]

    scales_of_x = 2 * STEP if wide else layout.scales_at

    def build_group(b, sums, quads, scales, size, x, stride, places):
        totals = [[None] * columns for _ in units]
        for part in range(parts):
            at_values = load(b, offset(b, places, 16 * part), I64)
            at_scale = load(b, offset(b, places, 16 * part + 8), I64)
            here = offset(b, quads, 64 * len(steps) * part)
            starts = part_starts(b, b.add(x, at_scale), stride)
            four = [at(b, b.add(x, at_values), stride, j) for j in range(columns)]
            dots = part_dots(b, here, size, four, starts)
            for u, (p, first) in enumerate(units):
                place = offset(b, at(b, scales, size, p), 64 * part + first)
                rows = load(b, place, floats, 4 * lanes)
                for j in range(columns):
                    real, total = b.sitofp(dots[u][j].value(), floats), totals[u][j]
                    totals[u][j] = fused(b, real, rows, total) if total else b.fmul(real, rows)
        scale = offset(b, b.add(x, at_scale), scales_of_x)
        for j in range(columns):
            factor = load_broadcast(b, at(b, scale, stride, j), F32, lanes)
            for u, (p, first) in enumerate(units):
                add_to(b, offset(b, sums, 64 * (p * columns + j) + first), totals[u][j], factor)

    def part_starts(b, x, stride):
        if not layout.starts:
            return [None] * columns
        places = [at(b, offset(b, x, layout.starts_at), stride, j) for j in range(columns)]
        return [partial(load_broadcast, b, place, I32, lanes) for place in places]

    def part_dots(b, quads, size, xs, starts):
        def new(start):
            return WordSum(b) if wide else DotSum(b, start, layout.most)

        dots = [[new(start) for start in starts] for _ in units]
        for run in runs:
            each = [
                [load_broadcast(b, offset(b, p, steps[k]), I32, lanes) for p in xs] for k in run
            ]
            fours = [[b.bitcast(four, values) for four in fours] for fours in each]
            for u, (p, first) in enumerate(units):
                for k, four in zip(run, fours, strict=True):
                    w = load(b, offset(b, at(b, quads, size, p), 64 * k + first), values, 4 * lanes)
                    for j in range(columns):
                        dots[u][j].add(w, four[j])
                if together > 1:
                    fence(b)
            fence(b)
        return dots

    return emit(types.void, *[types.int64] * 7)(build_group)


def run_length(layout):
    """How many fours of weights meet a row before the next row has its turn.

    One, with the accumulators in registers. With AVX2 and sums that soon leave 16 bits, as many as
    fit: so the few registers hold no sums of 16 bits beside those of 32.
    """
    few = in_words(layout.most)
    return few if current().name == "avx2" and 1 < few < 4 and not layout.words else 1


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


def load_broadcast(b, address, kind, lanes=16):
    """IR: 32 bits of memory in all lanes."""
    return broadcast(b, load(b, address, kind), lanes)


def add_to(b, address, x, y):
    """IR: to what stands there, x * y."""
    store(b, address, fused(b, x, y, load(b, address, x.type, 4 * x.type.count)), 4 * x.type.count)


def fused(b, x, y, z):
    """IR: x * y + z."""
    return call(b, f"llvm.fma.v{x.type.count}f32", x.type, x, y, z)


def tile_clear(vectors):
    """An operation: zeros to the sums of a tile."""

    def build_clear(b, sums):
        for place in range(vectors):
            store(b, offset(b, sums, 64 * place), ir.Constant(f32x16.ir, None), 64)

    return emit(types.void, types.int64)(build_clear)
