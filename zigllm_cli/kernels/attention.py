"""Attention over the cache: softmax(scale * q . k + bias) . v, without a matrix of scores.

Keys come in blocks of 64 positions, widened once per unit of work; every block updates the
running softmax of all tiles of the unit (`attention_tile`). Two ways to cut the work:

    prefill  (head of keys, up to eight tiles of columns); a column is one (token, query head of
             the group), the tokens of a unit are neighbours in the batch and of one sequence
    decode   (token, chunk of positions, head of keys), so that two threads share even one token
             of a model with one head of keys; `attention_merge` finishes

The arguments stand in `attention_layout`. A token sees what the state says (`kernels.state`); one
that sees nothing gets zeros. A kernel takes up to 750 KB of its thread's stack.
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.attention_layout import (
    CAP,
    CHUNK,
    DIM,
    HEADS,
    K_HEAD,
    K_SEQUENCE,
    KV_HEADS,
    OUT,
    OUT_STEP,
    PART_VALUES,
    Q_STEP,
    SCALE,
    SINKS,
    SLOPES,
    STATE,
    V_DIM,
    V_HEAD,
    V_SEQUENCE,
    WINDOW,
    K,
    Q,
    V,
)
from zigllm_cli.kernels.attention_tile import (
    BLOCK_AT,
    COLUMN,
    HEAD,
    K_AHEAD,
    K_STEP,
    KEYS,
    POSITION,
    SLOPE,
    TOKEN,
    V_AHEAD,
    V_STEP,
    VALUES,
    Places,
    attend,
    bench_bytes,
    set_up,
    shape,
    v_row_bytes,
)
from zigllm_cli.kernels.cache_blocks import BLOCK, unpack_keys, unpack_values
from zigllm_cli.kernels.cache_layout import BYTES, PANEL
from zigllm_cli.kernels.cache_store import row_sizes, sizes
from zigllm_cli.kernels.edges import store_part
from zigllm_cli.kernels.inline import part, section
from zigllm_cli.kernels.state import ENDS, POSITIONS, SCRATCH, SEQUENCES, TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import lane_maximum, lane_sum, splat_f32x16
from zigllm_cli.simd.math import LOG2_E, exp2
from zigllm_cli.simd.memory import (
    load_f32,
    load_f32x16,
    load_f64,
    load_i64,
    stack_room,
    store_f32,
    store_i64,
    store_vec,
)

TILES = 8
"""Tiles of a unit: what one widening of a block serves."""


@part
def position_of(args, token):
    """A token's position in its sequence."""
    return load_i64(load_i64(load_i64(args + STATE) + 8 * POSITIONS) + 8 * token)


@part
def seen_from(args, token):
    """The first position that a token sees."""
    window = load_i64(args + WINDOW)
    return max(0, position_of(args, token) - window + 1) if window else 0


@part
def seen_until(args, token):
    """The first position behind what a token sees."""
    return load_i64(load_i64(load_i64(args + STATE) + 8 * ENDS) + 8 * token)


@part
def sequence_of(args, token):
    """The slot of a token's sequence."""
    return load_i64(load_i64(load_i64(args + STATE) + 8 * SEQUENCES) + 8 * token)


def lines_of(kv_type, vectors):
    """Cache lines of a type that hold this many vectors of 16 values."""
    return max(vectors * 16 * BYTES.get(kv_type, 1) // 64, 1)


def block_reader(k_type, v_type, vectors):
    """A Numba function: put a block of a head's keys and values on the bench.

    Only positions first .. end of it exist; the next block is the one to ask for ahead.
    """
    keys_of, values_of = unpack_keys(k_type), unpack_values(v_type)
    (k_unit, k_bytes), (v_unit, v_bytes) = sizes(k_type), row_sizes(v_type)

    @part
    def read_block(args, bench, k, v, block, first, end):
        dim, v_dim = load_i64(args + DIM), load_i64(args + V_DIM)
        panel = PANEL * k_bytes * ((dim + k_unit - 1) // k_unit)
        row, v_row = v_bytes * ((v_dim + v_unit - 1) // v_unit), v_row_bytes(v_dim)
        last = min(end, block + BLOCK)
        for i in range(0, last - block, PANEL):
            keys_of(k + (block + i) // PANEL * panel, bench + KEYS + 4 * i, dim)
        for i in range(max(first - block, 0), last - block):
            values_of(v + (block + i) * row, bench + VALUES + v_row * i, v_dim)
        store_i64(bench + BLOCK_AT, block)
        more = block + BLOCK < end  # else one line is asked for again and again
        store_i64(bench + K_AHEAD, k + (block + BLOCK) // PANEL * panel if more else bench)
        store_i64(bench + K_STEP, panel * vectors // dim if more else 0)
        store_i64(bench + V_AHEAD, v + (block + BLOCK) * row if more else bench)
        store_i64(bench + V_STEP, row * vectors // ((v_dim + 15) // 16) if more else 0)

    return read_block


def unit_of(columns, vectors, k_type, v_type):
    """(fill a column of a tile, attend with all tiles of a unit)."""
    at, read_block = Places(columns), block_reader(k_type, v_type, vectors)
    attend_block = attend(columns, vectors, lines_of(k_type, vectors), lines_of(v_type, vectors))
    _, set_column = set_up(columns)
    size, columns_at = at.size, at.columns
    room_for_bench = stack_room(bench_bytes(columns))

    @part
    def fill(args, tile, j, token, head, first, end):
        dim, limit = load_i64(args + DIM), load_f64(args + CAP)
        slopes, column = load_i64(args + SLOPES), tile + columns_at + COLUMN * j
        scale = load_f64(args + SCALE) * (LOG2_E if limit == 0 else 1 / limit)
        query = load_i64(args + Q) + token * load_i64(args + Q_STEP) + 4 * dim * head
        set_column(tile, j, query, dim, np.float32(scale), first, end)
        store_i64(column + POSITION, position_of(args, token))
        store_i64(column + HEAD, head)
        store_i64(column + TOKEN, token)
        if slopes:
            store_f32(column + SLOPE, load_f32(slopes + 4 * head) * np.float32(LOG2_E))

    @section
    def work(args, tiles, count, sequence, kv_head, first, end):
        bench = room_for_bench()
        k = load_i64(args + K) + sequence * load_i64(args + K_SEQUENCE)
        v = load_i64(args + V) + sequence * load_i64(args + V_SEQUENCE)
        k += kv_head * load_i64(args + K_HEAD)
        v += kv_head * load_i64(args + V_HEAD)
        for block in range(first - first % BLOCK, end, BLOCK):
            read_block(args, bench, k, v, block, first, end)
            for i in range(count):
                attend_block(args, tiles + size * i, bench)

    return fill, work


@part
def put_divided(out, values, step, v_dim, factor):
    """out = values * factor; the values' vectors are `step` bytes apart."""
    f = splat_f32x16(factor)
    for d in range(0, v_dim, 16):
        store_part(out + 4 * d, load_f32x16(values + step * (d // 16)) * f, v_dim - d)


@part
def last_factor(maximum, total, sinks, head):
    """What weighted values are multiplied with at the end; a sink joins the sum first."""
    if sinks:
        sink = load_f32(sinks + 4 * head) * np.float32(LOG2_E)
        total += lane_maximum(exp2(splat_f32x16(sink - maximum)))
    return np.float32(1) / total if total > 0 else np.float32(0)


def prefill(k_type, v_type):
    """The kernel for many tokens."""
    columns, vectors = shape(0)
    at, (clear, _) = Places(columns), set_up(columns)
    fill, work = unit_of(columns, vectors, k_type, v_type)
    size, columns_at, maxima, sums, values = at.size, at.columns, at.maxima, at.sums, at.values
    room_for_tiles = stack_room(size * TILES)

    @part
    def write(args, tile, used):
        out, step, sinks = load_i64(args + OUT), load_i64(args + OUT_STEP), load_i64(args + SINKS)
        v_dim = load_i64(args + V_DIM)
        for j in range(used):
            column = tile + columns_at + COLUMN * j
            head = load_i64(column + HEAD)
            total = lane_sum(load_f32x16(tile + sums + 64 * j))
            factor = last_factor(load_f32(tile + maxima + 4 * j), total, sinks, head)
            target = out + step * load_i64(column + TOKEN) + 4 * v_dim * head
            put_divided(target, tile + values + 64 * j, 64 * columns, v_dim, factor)

    @section
    def unit(args, tiles, token, kv_head, start, stop):
        """Columns start .. stop of the group of one head of keys, counted from a token on."""
        group = load_i64(args + HEADS) // load_i64(args + KV_HEADS)
        first, end, count = 1 << 62, 0, (stop - start + columns - 1) // columns
        for i in range(count):
            clear(tiles + size * i, load_i64(args + V_DIM))
        for c in range(start, stop):
            t, head = token + c // group, kv_head * group + c % group
            lowest, limit = seen_from(args, t), seen_until(args, t)
            first, end, i = min(first, lowest), max(end, limit), (c - start) // columns
            fill(args, tiles + size * i, (c - start) % columns, t, head, lowest, limit)
        work(args, tiles, count, sequence_of(args, token), kv_head, first, end)
        for i in range(count):
            write(args, tiles + size * i, min(columns, stop - start - columns * i))

    @njit(error_model="numpy")
    def attention_prefill(args, thread, threads):
        heads, kv_heads = load_i64(args + HEADS), load_i64(args + KV_HEADS)
        tokens, tiles = load_i64(load_i64(args + STATE) + 8 * TOKENS), room_for_tiles()
        # fewer tiles in a unit where there would be too few units to share
        enough = tokens * heads // (4 * columns * threads)
        width = columns * max(1, min(TILES, enough))
        number, start = 0, 0
        while start < tokens:
            stop = start + 1
            while stop < tokens and sequence_of(args, stop) == sequence_of(args, start):
                stop += 1
            count = (stop - start) * (heads // kv_heads)
            for kv_head in range(kv_heads):
                for c in range(0, count, width):
                    if number % threads == thread:
                        unit(args, tiles, start, kv_head, c, min(c + width, count))
                    number += 1
            start = stop

    return attention_prefill


@part
def part_size(v_dim):
    """Bytes of a partial result, as `attention_layout.part_bytes` has them."""
    return PART_VALUES + (v_dim + 15) // 16 * 64


def decode(k_type, v_type, group):
    """The kernel for few tokens of a model with `group` query heads per head of keys."""
    columns, vectors = shape(group)
    at, (clear, _) = Places(columns), set_up(columns)
    fill, work = unit_of(columns, vectors, k_type, v_type)
    size, maxima, sums, values = at.size, at.maxima, at.sums, at.values
    room_for_tiles = stack_room(size * TILES)

    @part
    def write(tile, j, target, v_dim):
        """One column's partial result."""
        store_f32(target, load_f32(tile + maxima + 4 * j))
        store_f32(target + 4, lane_sum(load_f32x16(tile + sums + 64 * j)))
        for d in range(0, v_dim, 16):
            v = load_f32x16(tile + values + 4 * d * columns + 64 * j)
            store_vec(target + PART_VALUES + 4 * d, v)

    @section
    def unit(args, tiles, token, kv_head, first, end, target):
        """All heads of a group on one chunk; partial results to target on."""
        v_dim, step = load_i64(args + V_DIM), part_size(load_i64(args + V_DIM))
        for start in range(0, group, columns * TILES):
            stop = min(group, start + columns * TILES)
            count = (stop - start + columns - 1) // columns
            for i in range(count):
                clear(tiles + size * i, v_dim)
            for c in range(start, stop):
                tile, head = tiles + size * ((c - start) // columns), kv_head * group + c
                fill(args, tile, (c - start) % columns, token, head, first, end)
            work(args, tiles, count, sequence_of(args, token), kv_head, first, end)
            for c in range(start, stop):
                tile, head = tiles + size * ((c - start) // columns), kv_head * group + c
                write(tile, (c - start) % columns, target + step * head, v_dim)

    @njit(error_model="numpy")
    def attention_decode(args, thread, threads):
        kv_heads, chunk = load_i64(args + KV_HEADS), load_i64(args + CHUNK)
        state, step = load_i64(args + STATE), load_i64(args + HEADS)
        step *= part_size(load_i64(args + V_DIM))
        tiles, target, number = room_for_tiles(), load_i64(state + 8 * SCRATCH), 0
        for token in range(load_i64(state + 8 * TOKENS)):
            first, end = seen_from(args, token), seen_until(args, token)
            for start in range(first - first % chunk, end, chunk):
                for kv_head in range(kv_heads):
                    if number % threads == thread:
                        low, high = max(first, start), min(end, start + chunk)
                        unit(args, tiles, token, kv_head, low, high, target)
                    number += 1
                target += step

    return attention_decode


def build(mode, k_type, v_type, group=0):
    """The kernel `prefill`, or `decode` for a number of query heads per head of keys."""
    return prefill(k_type, v_type) if mode == "prefill" else decode(k_type, v_type, group)
