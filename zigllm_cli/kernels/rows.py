"""Products row by row: one token (decode), or a few, for which each weight is still read once.

Decode is a stream of memory: one contiguous run of rows per thread, every step of 256 weights
unpacked in registers and multiplied with the activations' record, the cache line 4 KiB ahead
asked for. Walking two neighbouring rows at once is three times slower: each is too short a
stream.

    args  0 weights                     1 bytes of a row
          2 rows                        3 whole steps of 256 per row
          4 blocks behind them          5 records of the activations, a token's in a row
          6 bytes from token to token   7 out (f32)
          8 bytes from token to token   9 bias (f32 [rows]) or 0
         10 whether to add to out      11 address of the number of tokens
"""

from functools import partial

import numpy as np
from llvmlite import ir
from numba import njit, types

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.kernels.share import share
from zigllm_cli.quants.layouts import LAYOUTS, STEP
from zigllm_cli.quants.unpack import unpacking
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import lane_sum
from zigllm_cli.simd.dot import DotSum, WordSum, words_of
from zigllm_cli.simd.emit import call, emit, halves, joined, load, offset, shuffle
from zigllm_cli.simd.memory import (
    load_f32,
    load_i64,
    load_u8,
    prefetch,
    stack_room,
    store_f32,
    store_i64,
    store_u8,
)
from zigllm_cli.simd.tile import at, column_of, zero_tile
from zigllm_cli.simd.vector import Tile, f32x8, f32x16, i8x64, i32x16, u8x64

PREFETCH = 4096
"""Bytes ahead: worth 5 GB/s on one thread; 16 KiB ahead is too far for two."""


def step_product(layout, columns, beyond=False, words=False):
    """An operation: a step's unpacked weights times the records of `columns` tokens.

    (sums tile, record, stride, w0..w3, scale per chain..., [minima]) -> sums tile. If a step goes
    `beyond` the end of its row, where the records are 0, the weights there may be anything.
    Records of `words` are those that panels of the layout meet.
    """
    sums = Tile(f32x16, columns)
    scales = [f32x16] * layout.chains
    extra = [f32x16] if layout.minima else []

    def build(b, acc, z, stride, *vectors):
        weights, factors = vectors[:4], vectors[4:]
        result = ir.Constant(sums.ir, ir.Undefined)
        for j in range(columns):
            column, record = b.extract_value(acc, j), at(b, z, stride, j)
            total = _column(b, layout, column, record, weights, factors, beyond, words)
            result = b.insert_value(result, total, j)
        return result

    return emit(sums, sums, types.int64, types.int64, *[u8x64] * 4, *scales, *extra)(build)


def _column(b, layout, total, z, weights, factors, beyond, words):
    dots, scales_of = (_word_dots, _scales_by_group) if words else (_byte_dots, _scales_by_lane)
    for chain in range(layout.chains):
        found, x = dots(b, layout, chain, z, weights), scales_of(b, layout, chain, z)
        factor = _unless_zero(b, x, factors[chain]) if beyond else factors[chain]
        scale = b.fmul(factor, x)
        total = _fma(b, b.sitofp(found, f32x16.ir), scale, total)
    if layout.minima:
        sums = load(b, offset(b, z, layout.minima_at), f32x16.ir)
        factor = _unless_zero(b, sums, factors[-1]) if beyond else factors[-1]
        total = _fma(b, factor, sums, total)
    return total


def _scales_by_lane(b, layout, chain, z):
    return load(b, offset(b, z, layout.scales_at + 64 * chain), f32x16.ir)


def _scales_by_group(b, layout, chain, z):
    scales = load(b, offset(b, z, 2 * STEP), f32x8.ir)
    return shuffle(b, scales, scales, layout.lane_groups[chain])


def _byte_dots(b, layout, chain, z, weights):
    start = None
    if layout.starts:
        start = partial(load, b, offset(b, z, layout.starts_at + 64 * chain), i32x16.ir)
    dots = DotSum(b, start, layout.most)
    for v in layout.vectors_of(chain):
        dots.add(weights[v], load(b, offset(b, z, 64 * v), i8x64.ir))
    return dots.value()


def _word_dots(b, layout, chain, z, weights):
    sums = WordSum(b), WordSum(b)  # of eight lanes each
    for v in layout.vectors_of(chain):
        signed = b.xor(weights[v], i8x64.constant([-128] * 64))
        for part, words in enumerate(words_of(b, signed)):
            x = load(b, offset(b, z, 128 * v + 64 * part), words.type)
            for total, w, y in zip(sums, halves(b, words, 2), halves(b, x, 2), strict=True):
                total.add(w, y)
    return joined(b, [total.value() for total in sums])


def _unless_zero(b, x, value):
    zero = f32x16.constant([0.0] * 16)
    return b.select(b.fcmp_ordered("==", x, zero), zero, value)


def _fma(b, x, y, z):
    return call(b, "llvm.fma.v16f32", f32x16.ir, x, y, z)


def step_of(name, columns, beyond=False, words=False):
    """A Numba function (sums, weights' address, record's address, stride) -> sums."""
    layout, unpack = LAYOUTS[name], unpacking(name)
    product = step_product(layout, columns, beyond, words)
    weights, scales = unpack.weights, unpack.scales
    if layout.minima:
        minima = unpack.minima

        @njit(forceinline=True)
        def step(acc, p, z, stride):
            return product(acc, z, stride, *weights(p), *scales(p), minima(p))

    else:

        @njit(forceinline=True)
        def step(acc, p, z, stride):
            return product(acc, z, stride, *weights(p), *scales(p))

    return step


def store_sums(columns):
    """An operation-like function: lane sums of a tile to out, with bias and what stood there."""
    getters = [column_of(Tile(f32x16, columns), j) for j in range(columns)]

    @njit(forceinline=True)
    def store_one(out, add, bias, value):
        if add:
            value += load_f32(out)
        store_f32(out, value + bias)

    if columns == 1:
        (first,) = getters

        @njit(forceinline=True)
        def store(acc, out, stride, add, bias):
            store_one(out, add, bias, lane_sum(first(acc)))

    elif columns == 2:
        first, second = getters

        @njit(forceinline=True)
        def store(acc, out, stride, add, bias):
            store_one(out, add, bias, lane_sum(first(acc)))
            store_one(out + stride, add, bias, lane_sum(second(acc)))

    else:
        half = columns // 2
        lower, upper = store_sums(half), store_sums(half)
        low, high = _half(columns, 0), _half(columns, half)

        @njit(forceinline=True)
        def store(acc, out, stride, add, bias):
            lower(low(acc), out, stride, add, bias)
            upper(high(acc), out + half * stride, stride, add, bias)

    return store


def _half(columns, start):
    whole, half = Tile(f32x16, columns), Tile(f32x16, columns // 2)

    def build(b, tile):
        value = ir.Constant(half.ir, ir.Undefined)
        for j in range(columns // 2):
            value = b.insert_value(value, b.extract_value(tile, start + j), j)
        return value

    return emit(half, whole)(build)


def row_of(name, columns, words=False):
    """A Numba function: one row of weights times `columns` tokens.

    (weights, records, bytes from token to token and from step to step of them, steps, blocks,
    spare, out, bytes from token to token, whether to add, bias).

    Blocks behind the whole steps are multiplied where they stand, with what follows them; if
    nothing may follow, as behind the last row of a file, in `spare`. A copy of each row's took
    as long as three steps (Q4_0, rows of 896: 8.5 GB/s on one Zen 3 core, without it 13.2).
    """
    kind = tensor_type(name)
    step, last_step = (step_of(name, columns, beyond, words) for beyond in (False, True))
    zeros, store = zero_tile(f32x16, columns), store_sums(columns)
    step_bytes = kind.block_bytes * (STEP // kind.block_size)
    lines = (step_bytes + 63) // 64
    whole_blocks_only = kind.block_size == STEP
    block_bytes = kind.block_bytes

    @njit(forceinline=True)
    def row(p, x, stride, ahead, steps, blocks, spare, out, out_stride, add, bias):
        acc = zeros()
        z = x
        for _ in range(steps):
            for line in range(lines):
                prefetch(p + PREFETCH + 64 * line)
            acc = step(acc, p, z, stride)
            p += step_bytes
            z += ahead
        if not whole_blocks_only and blocks > 0:
            if spare:
                copy_tail(p, spare, blocks * block_bytes, step_bytes)
                p = spare
            acc = last_step(acc, p, z, stride)
        store(acc, out, out_stride, add, bias)

    return row


@njit(forceinline=True)
def spare_for(row, rows, steps, room):
    """`spare` of a row: none if another one follows that is no shorter than a step."""
    return 0 if steps and row + 1 < rows else room


spare_room = stack_room(4096)
"""An operation: the address of room for a step of any type."""


@njit
def copy_tail(source, target, count, size):
    """The last blocks of a row, filled up with zero blocks (whose scale is zero) to a step."""
    for i in range(count - count % 8, size, 8):
        store_i64(target + i, 0)
    for i in range(0, count - 7, 8):
        store_i64(target + i, load_i64(source + i))
    for i in range(count - count % 8, count):
        store_u8(target + i, load_u8(source + i))


def build(name, few):
    """The kernel for a weight type: for one token, or (`few`) for any small number."""
    one, record = row_of(name, 1), LAYOUTS[name].record

    @njit(error_model="numpy")
    def product_of_one(args, thread, threads):
        weights, row_bytes, rows = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        steps, blocks, x = load_i64(args + 24), load_i64(args + 32), load_i64(args + 40)
        out, bias, add = load_i64(args + 56), load_i64(args + 72), load_i64(args + 80)
        room = spare_room()
        first, last = share(rows, 16, thread, threads)
        for r in range(first, last):
            b = load_f32(bias + 4 * r) if bias else np.float32(0)
            spare = spare_for(r, rows, steps, room)
            p, y = weights + r * row_bytes, out + 4 * r
            one(p, x, 0, record, steps, blocks, spare, y, 0, add, b)

    if not few:
        return product_of_one

    two, four, eight = row_of(name, 2), row_of(name, 4), row_of(name, 8)

    @njit(error_model="numpy")
    def product_of_few(args, thread, threads):
        weights, row_bytes, rows = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        steps, blocks, stride = load_i64(args + 24), load_i64(args + 32), load_i64(args + 48)
        out_stride, bias, add = load_i64(args + 64), load_i64(args + 72), load_i64(args + 80)
        tokens = load_i64(load_i64(args + 88))
        room = spare_room()
        first, last = share(rows, 16, thread, threads)
        for r in range(first, last):
            b = load_f32(bias + 4 * r) if bias else np.float32(0)
            spare = spare_for(r, rows, steps, room)
            p = weights + r * row_bytes
            x, out = load_i64(args + 40), load_i64(args + 56) + 4 * r
            left = tokens
            while left >= 8:
                eight(p, x, stride, record, steps, blocks, spare, out, out_stride, add, b)
                x, out, left = x + 8 * stride, out + 8 * out_stride, left - 8
            if left >= 4:
                four(p, x, stride, record, steps, blocks, spare, out, out_stride, add, b)
                x, out, left = x + 4 * stride, out + 4 * out_stride, left - 4
            if left >= 2:
                two(p, x, stride, record, steps, blocks, spare, out, out_stride, add, b)
                x, out, left = x + 2 * stride, out + 2 * out_stride, left - 2
            if left:
                one(p, x, stride, record, steps, blocks, spare, out, out_stride, add, b)

    return product_of_few
