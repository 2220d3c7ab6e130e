"""Products row by row with weights that are floats (F32, F16, BF16), for one token or a few.

Nothing is rounded: weights are widened to float32 and multiplied with float32 activations.

    args  0 weights                     1 bytes of a row
          2 rows                        3 values per row
          5 x (f32)                     6 bytes from token to token
          7 out (f32)                   8 bytes from token to token
          9 bias (f32 [rows]) or 0     10 whether to add to out
         11 address of the number of tokens
"""

import numpy as np
from llvmlite import ir
from numba import njit, types

from zigllm_cli.kernels.rows import PREFETCH, store_sums
from zigllm_cli.kernels.share import share
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.convert import half_to_float
from zigllm_cli.simd.emit import call, emit, first_lanes_of, load, masked_load, offset
from zigllm_cli.simd.memory import load_f32, load_i64, prefetch
from zigllm_cli.simd.tile import at, zero_tile
from zigllm_cli.simd.vector import I32, Tile, f32x16, i32x16, u16x16

BYTES = {"F32": 4, "F16": 2, "BF16": 2}
"""Bytes of a value, by ggml name."""


def widened(b, name, bits):
    """IR: sixteen loaded values of a type as f32."""
    if name == "F32":
        return bits
    if name == "F16":
        return half_to_float(b, bits)
    high = ir.Constant(i32x16.ir, [ir.Constant(I32, 16)] * 16)
    return b.bitcast(b.shl(b.zext(bits, i32x16.ir), high), f32x16.ir)


def stored_kind(name):
    """IR: sixteen values as they stand in memory."""
    return f32x16.ir if name == "F32" else u16x16.ir


def partial_sums(name, columns, unroll, parts):
    """An operation: 16 * `parts` weights at p times `columns` tokens at x.

    Each column has `unroll` accumulators (column * unroll + part): a chain of one would wait for
    its own latency.
    """
    tile = Tile(f32x16, columns * unroll)

    def build(b, sums, p, x, stride):
        for u in range(parts):
            w = widened(b, name, load(b, offset(b, p, 16 * BYTES[name] * u), stored_kind(name)))
            for j in range(columns):
                k = j * unroll + u
                each = load(b, offset(b, at(b, x, stride, j), 64 * u), f32x16.ir)
                sums = b.insert_value(sums, _fma(b, w, each, b.extract_value(sums, k)), k)
        return sums

    return emit(tile, tile, types.int64, types.int64, types.int64)(build)


def last_sums(name, columns, unroll):
    """An operation as `partial_sums`, of the last `count` < 16 weights of a row."""
    tile = Tile(f32x16, columns * unroll)

    def build(b, sums, p, x, stride, count):
        mask = first_lanes_of(b, count, 16)
        w = widened(b, name, masked_load(b, p, stored_kind(name), mask))
        for j in range(columns):
            each = masked_load(b, at(b, x, stride, j), f32x16.ir, mask)
            k = j * unroll
            sums = b.insert_value(sums, _fma(b, w, each, b.extract_value(sums, k)), k)
        return sums

    return emit(tile, tile, *[types.int64] * 4)(build)


def folded(columns, unroll):
    """An operation: the parts of each column's sum, added."""
    whole, result = Tile(f32x16, columns * unroll), Tile(f32x16, columns)

    def build(b, sums):
        value = ir.Constant(result.ir, ir.Undefined)
        for j in range(columns):
            parts = [b.extract_value(sums, j * unroll + u) for u in range(unroll)]
            while len(parts) > 1:
                parts = [b.fadd(*parts[i : i + 2]) for i in range(0, len(parts), 2)]
            value = b.insert_value(value, parts[0], j)
        return value

    return emit(result, whole)(build)


def _fma(b, x, y, z):
    return call(b, "llvm.fma.v16f32", f32x16.ir, x, y, z)


UNROLL = 2
"""Accumulators of a column, however many columns: so a token's sum does not depend on how many
others share the step. Two keep up with memory."""


def row_of(name, columns):
    """A Numba function: one row of weights times `columns` tokens."""
    unroll = UNROLL
    many = partial_sums(name, columns, unroll, unroll)
    some = partial_sums(name, columns, unroll, 1)
    last, fold = last_sums(name, columns, unroll), folded(columns, unroll)
    store = store_sums(columns)
    zeros = zero_tile(f32x16, columns * unroll)
    size, lines = 16 * BYTES[name], max(unroll * 16 * BYTES[name] // 64, 1)

    @njit(forceinline=True)
    def row(p, x, stride, values, out, out_stride, add, bias):
        sums = zeros()
        for _ in range(values // (16 * unroll)):
            for line in range(lines):
                prefetch(p + PREFETCH + 64 * line)
            sums = many(sums, p, x, stride)
            p += size * unroll
            x += 64 * unroll
        left = values % (16 * unroll)
        while left >= 16:
            sums = some(sums, p, x, stride)
            p, x, left = p + size, x + 64, left - 16
        if left:
            sums = last(sums, p, x, stride, left)
        store(fold(sums), out, out_stride, add, bias)

    return row


def build(name, few):
    """The kernel for a float type: for one token, or (`few`) for any small number."""
    one = row_of(name, 1)

    @njit(error_model="numpy")
    def product_of_one(args, thread, threads):
        weights, row_bytes, rows = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        values, x, out = load_i64(args + 24), load_i64(args + 40), load_i64(args + 56)
        bias, add = load_i64(args + 72), load_i64(args + 80)
        first, last = share(rows, 16, thread, threads)
        for r in range(first, last):
            b = load_f32(bias + 4 * r) if bias else np.float32(0)
            one(weights + r * row_bytes, x, 0, values, out + 4 * r, 0, add, b)

    if not few:
        return product_of_one

    two, four, eight = row_of(name, 2), row_of(name, 4), row_of(name, 8)

    @njit(error_model="numpy")
    def product_of_few(args, thread, threads):
        weights, row_bytes, rows = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        values, stride = load_i64(args + 24), load_i64(args + 48)
        out_stride, bias, add = load_i64(args + 64), load_i64(args + 72), load_i64(args + 80)
        tokens = load_i64(load_i64(args + 88))
        first, last = share(rows, 16, thread, threads)
        for r in range(first, last):
            b = load_f32(bias + 4 * r) if bias else np.float32(0)
            p = weights + r * row_bytes
            x, out = load_i64(args + 40), load_i64(args + 56) + 4 * r
            left = tokens
            while left >= 8:
                eight(p, x, stride, values, out, out_stride, add, b)
                x, out, left = x + 8 * stride, out + 8 * out_stride, left - 8
            if left >= 4:
                four(p, x, stride, values, out, out_stride, add, b)
                x, out, left = x + 4 * stride, out + 4 * out_stride, left - 4
            if left >= 2:
                two(p, x, stride, values, out, out_stride, add, b)
                x, out, left = x + 2 * stride, out + 2 * out_stride, left - 2
            if left:
                one(p, x, stride, values, out, out_stride, add, b)

    return product_of_few
