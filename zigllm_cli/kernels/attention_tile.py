"""A tile of query columns against a block of 64 keys: scores, running softmax, values.

A column is one head of one token. A tile keeps, for each of its columns (C of them, a constant of
the kernel), the query, what it may see, and the state of the online softmax: the maximum so far,
the sum of weights relative to it in 16 lanes, and the weighted values, not yet divided. Weights
are powers of two: log2(e) is part of the scale of the queries, so all scores are in its units.

Every operation acts on each column by itself, in an order of keys that depends only on their
positions, so a column's result does not depend on the tile that it is in, bit for bit.

Both products are loops of one operation, `outer_product`: a row of keys (64 positions of one
dimension) times that dimension of the queries; a row of values times the weights of its position.

A tile in memory, with the names of `Places`:

    queries   f32 [C][QUERY_ROW / 4]        seen     lowest and highest first position of the
    maxima    f32 [16]                               columns, lowest and highest end: 4 words
    factors   f32 [16], of this block       columns  first position, end, position, slope,
    sums      f32 [C][16]                            head, token: 6 words each
    values    f32 [value dim / 16][C][16]

Beside the tiles a thread has one bench, where the block at hand is laid out: its keys, its
values, and the scores of the tile at work.
"""

import numpy as np
from llvmlite import ir
from numba import types

from zigllm_cli.kernels.attention_layout import CAP, DIM, MAX_DIM, SLOPES, V_DIM
from zigllm_cli.kernels.cache_blocks import BLOCK, K_ROW
from zigllm_cli.kernels.cache_layout import GROUP
from zigllm_cli.kernels.edges import load_part
from zigllm_cli.kernels.inline import part, section
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import (
    absolute,
    const,
    fill,
    first_lanes,
    fma,
    lane_maximum,
    maximum,
    select,
    splat_f32x16,
    zero_f32x16,
)
from zigllm_cli.simd.emit import broadcast, call, emit, load, offset, store
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.math import LOG2_E, exp2, tanh
from zigllm_cli.simd.memory import (
    load_f32,
    load_f32x16,
    load_f64,
    load_i64,
    opaque,
    prefetch,
    store_f32,
    store_i64,
    store_vec,
)
from zigllm_cli.simd.tile import zero_tile
from zigllm_cli.simd.vector import F32, Tile, f32x16

QUERY_ROW = 4 * MAX_DIM + 64
"""Bytes from column to column of the queries; not a power of two, which would share cache sets."""

NOTHING = -1e30
"""The maximum of no score: finite, so that the difference of two of them is 0."""

MOST = 12
"""Columns of a tile at most."""


def shape(group):
    """(columns, vectors) of the accumulators, as many as the registers hold.

    Args:
        group: the columns that there are, if they are few (the query heads that share a head of
            keys); 0 for many.
    """
    isa = current()
    each = 64 // isa.width
    for vectors in (2, 1):
        most = min((isa.registers - 1) // (each * vectors) - 1, MOST)
        if most >= 6 or vectors == 1:
            break
    if not group:
        return most, vectors
    columns = -(-group // -(-group // most))
    while vectors < 4 and each * 2 * vectors * (columns + 1) < isa.registers:
        vectors *= 2
    return columns, vectors


minus_infinity, nothing = fill(f32x16, float("-inf")), fill(f32x16, NOTHING)
lane_numbers = const(f32x16, range(16))


def outer_product(columns, vectors, stride):
    """An operation (tile, p, x): each of the vectors at p times each column's float at x.

    tile[i * columns + j] += (vector i at p) * (the float at x + j * stride)
    """
    tile = Tile(f32x16, columns * vectors)

    def build(b, sums, p, x):
        rows = [load(b, offset(b, p, 64 * i), f32x16.ir) for i in range(vectors)]
        for j in range(columns):
            factor = broadcast(b, load(b, offset(b, x, stride * j), F32), 16)
            for i, row in enumerate(rows):
                k = i * columns + j
                one = call(b, "llvm.fma.v16f32", f32x16.ir, row, factor, b.extract_value(sums, k))
                sums = b.insert_value(sums, one, k)
        return sums

    return emit(tile, tile, types.int64, types.int64)(build)


def store_scores(columns, vectors):
    """An operation (p, tile): vector i of column j to p + j * K_ROW + 64 * i."""
    tile = Tile(f32x16, columns * vectors)

    def build(b, p, sums):
        for j in range(columns):
            for i in range(vectors):
                one = b.extract_value(sums, i * columns + j)
                store(b, offset(b, p, K_ROW * j + 64 * i), one)

    return emit(types.void, types.int64, tile)(build)


def load_scaled(columns, vectors):
    """An operation (p, factors): a tile of [vectors][columns], each column times its factor."""
    tile = Tile(f32x16, columns * vectors)

    def build(b, p, factors):
        value = ir.Constant(tile.ir, ir.Undefined)
        for k in range(columns * vectors):
            factor = broadcast(b, load(b, offset(b, factors, 4 * (k % columns)), F32), 16)
            one = b.fmul(load(b, offset(b, p, 64 * k), f32x16.ir), factor)
            value = b.insert_value(value, one, k)
        return value

    return emit(tile, types.int64, types.int64)(build)


def store_tile(columns, vectors):
    """An operation (p, tile): vectors one behind the other."""
    tile = Tile(f32x16, columns * vectors)

    def build(b, p, sums):
        for k in range(columns * vectors):
            store(b, offset(b, p, 64 * k), b.extract_value(sums, k))

    return emit(types.void, types.int64, tile)(build)


class Places:
    """Byte offsets inside a tile of `columns` columns; see the module's text."""

    def __init__(self, columns):
        self.maxima = QUERY_ROW * columns
        self.factors = self.maxima + 64
        self.sums = self.maxima + 128
        self.seen = self.sums + 64 * columns
        self.columns = self.seen + 64
        self.values = -(-(self.columns + COLUMN * columns) // 64) * 64
        self.size = self.values + 4 * MAX_DIM * columns + 64


# The bench: the block at hand, widened, and where to ask for the next one ahead of time.
BLOCK_AT, K_AHEAD, K_STEP, V_AHEAD, V_STEP = range(0, 40, 8)
KEYS = 64
VALUES = KEYS + K_ROW * MAX_DIM
SCORES = VALUES + 4 * MAX_DIM * BLOCK


def bench_bytes(columns):
    """Bytes of the bench of tiles of so many columns."""
    return SCORES + K_ROW * columns


@part
def v_row_bytes(v_dim):
    """Bytes from position to position of a block's values."""
    return (v_dim + GROUP - 1) // GROUP * (4 * GROUP)


COLUMN = 48
FIRST, END, POSITION, SLOPE, HEAD, TOKEN = range(0, COLUMN, 8)
"""Bytes of a column's words."""


def set_up(columns):
    """(clear a tile, set a column of it)."""
    at = Places(columns)
    maxima, sums, seen, columns_at, values = at.maxima, at.sums, at.seen, at.columns, at.values

    @part
    def clear(tile, v_dim):
        """No columns yet, nothing seen."""
        store_vec(tile + maxima, nothing())
        for j in range(opaque(columns)):
            store_vec(tile + sums + 64 * j, zero_f32x16())
            store_i64(tile + columns_at + COLUMN * j + FIRST, 0)
            store_i64(tile + columns_at + COLUMN * j + END, 0)
        for i in range((v_dim + 15) // 16 * columns):
            store_vec(tile + values + 64 * i, zero_f32x16())
        store_i64(tile + seen, 1 << 62)
        store_i64(tile + seen + 8, 0)
        store_i64(tile + seen + 16, 1 << 62)
        store_i64(tile + seen + 24, 0)

    @part
    def set_column(tile, j, query, dim, scale, first, end):
        """The query, multiplied, and the positions it may see."""
        factor, target = splat_f32x16(scale), tile + QUERY_ROW * j
        for d in range(0, dim, 16):
            store_vec(target + 4 * d, load_part(query + 4 * d, dim - d) * factor)
        store_i64(tile + columns_at + COLUMN * j + FIRST, first)
        store_i64(tile + columns_at + COLUMN * j + END, end)
        store_i64(tile + seen, min(first, load_i64(tile + seen)))
        store_i64(tile + seen + 8, max(first, load_i64(tile + seen + 8)))
        store_i64(tile + seen + 16, min(end, load_i64(tile + seen + 16)))
        store_i64(tile + seen + 24, max(end, load_i64(tile + seen + 24)))

    return clear, set_column


def score(columns, vectors, lines):
    """A Numba function: scores of a tile and a block's first positions, to the bench.

    Each step asks for as many lines of the next block's keys as it reads values of this one.
    """
    zeros = zero_tile(f32x16, columns * vectors)
    product = outer_product(columns, vectors, QUERY_ROW)
    put = store_scores(columns, vectors)
    span = 16 * vectors

    @part
    def scores_of(tile, bench, dim, positions):
        ahead, step = load_i64(bench + K_AHEAD), load_i64(bench + K_STEP)
        for i in range(0, positions, span):
            sums, p, x = zeros(), bench + KEYS + 4 * i, tile
            for _ in range(dim):
                for line in range(lines):
                    prefetch(ahead + 64 * line)
                sums = product(sums, p, x)
                p, x, ahead = p + K_ROW, x + 4, ahead + step
            put(bench + SCORES + 4 * i, sums)

    return scores_of


def adjust(columns):
    """(cap the scores, add the slopes' bias, hide what a column may not see)."""
    columns_at = Places(columns).columns

    @part
    def cap(scores, limit):
        """limit * tanh(scores); the queries are divided by the limit already."""
        factor = splat_f32x16(limit)
        for i in range(0, K_ROW * opaque(columns), 64):
            store_vec(scores + i, tanh(load_f32x16(scores + i)) * factor)

    @part
    def slope(tile, scores, block):
        """Minus each column's slope times the distance (ALiBi)."""
        for j in range(opaque(columns)):
            column, row = tile + columns_at + COLUMN * j, scores + K_ROW * j
            factor = splat_f32x16(-load_f32(column + SLOPE))
            distance = np.float32(block - load_i64(column + POSITION))
            for i in range(0, BLOCK, 16):
                far = absolute(lane_numbers() + splat_f32x16(distance + np.float32(i)))
                store_vec(row + 4 * i, fma(far, factor, load_f32x16(row + 4 * i)))

    @part
    def hide(tile, scores, block, positions):
        """Minus infinity before each column's first position and from its end on."""
        for j in range(opaque(columns)):
            column, row = tile + columns_at + COLUMN * j, scores + K_ROW * j
            first, end = load_i64(column + FIRST) - block, load_i64(column + END) - block
            for i in range(0, positions, 16):
                v = select(first_lanes(end - i), load_f32x16(row + 4 * i), minus_infinity())
                store_vec(row + 4 * i, select(first_lanes(first - i), minus_infinity(), v))

    return cap, slope, hide


def weigh(columns):
    """A Numba function: scores to weights, with the new maxima, factors and sums of the tile.

    (tile, scores, positions): a multiple of 16, behind which no column sees anything.
    """
    at = Places(columns)
    maxima, factors, sums = at.maxima, at.factors, at.sums

    @part
    def weights_of(tile, scores, positions):
        for j in range(opaque(columns)):
            row = scores + K_ROW * j
            largest = load_f32x16(row)
            for i in range(16, positions, 16):
                largest = maximum(largest, load_f32x16(row + 4 * i))
            store_f32(tile + factors + 4 * j, lane_maximum(largest))
        before = load_f32x16(tile + maxima)
        now = maximum(before, load_f32x16(tile + factors))
        store_vec(tile + maxima, now)
        store_vec(tile + factors, exp2(before - now))
        for j in range(opaque(columns)):
            row, total = scores + K_ROW * j, tile + sums + 64 * j
            top = splat_f32x16(load_f32(tile + maxima + 4 * j))
            added = zero_f32x16()
            for i in range(0, positions, 16):
                weights = exp2(load_f32x16(row + 4 * i) - top)
                store_vec(row + 4 * i, weights)
                added = added + weights
            factor = splat_f32x16(load_f32(tile + factors + 4 * j))
            store_vec(total, fma(load_f32x16(total), factor, added))

    return weights_of


def collect(columns, vectors, lines):
    """A Numba function: the values so far times their factors, plus weights times values.

    (tile, bench, value dim, first and last position of the block, first and last vector)
    """
    at = Places(columns)
    factors, values_at = at.factors, at.values
    product, read = outer_product(columns, vectors, K_ROW), load_scaled(columns, vectors)
    put = store_tile(columns, vectors)

    @part
    def values_of(tile, bench, v_dim, start, stop, first, last):
        ahead, step, row = load_i64(bench + V_AHEAD), load_i64(bench + V_STEP), v_row_bytes(v_dim)
        for i in range(first, last - vectors + 1, vectors):
            target = tile + values_at + 64 * columns * i
            sums, x = read(target, tile + factors), bench + SCORES + 4 * start
            p = bench + VALUES + row * start + 64 * i
            for _ in range(start, stop):
                for line in range(lines):
                    prefetch(ahead + 64 * line)
                sums = product(sums, p, x)
                p, x, ahead = p + row, x + 4, ahead + step
            put(target, sums)

    return values_of


def attend(columns, vectors, k_lines, v_lines):
    """A Numba function (args, tile, bench): one tile against one block; the heart of attention."""
    scores_of, (cap, slope, hide) = score(columns, vectors, k_lines), adjust(columns)
    weights_of, values_of = weigh(columns), collect(columns, vectors, v_lines)
    rest_of = collect(columns, 1, 0)
    seen = Places(columns).seen

    @section
    def attend_block(args, tile, bench):
        block, scores, v_dim = load_i64(bench + BLOCK_AT), bench + SCORES, load_i64(args + V_DIM)
        lowest, end = load_i64(tile + seen) - block, load_i64(tile + seen + 24) - block
        start, stop, limit = max(lowest, 0), min(end, BLOCK), load_f64(args + CAP)
        positions = (stop + 15) // 16 * 16
        if start < stop:
            scores_of(tile, bench, load_i64(args + DIM), stop)
            if limit != 0:
                cap(scores, np.float32(limit * LOG2_E))
            if load_i64(args + SLOPES):
                slope(tile, scores, block)
            if load_i64(tile + seen + 8) > block or load_i64(tile + seen + 16) < block + positions:
                hide(tile, scores, block, positions)
            weights_of(tile, scores, positions)
            parts = (v_dim + 15) // 16
            whole = parts - parts % vectors
            values_of(tile, bench, v_dim, start, stop, 0, whole)
            rest_of(tile, bench, v_dim, start, stop, whole, parts)

    return attend_block
