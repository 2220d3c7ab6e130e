"""Rows of floats to a quantised type, byte for byte as ggml encodes them.

Blocks are taken sixteen at a time, wherever rows end; what is left at the end is encoded beside
zeros, on the stack.

    args  0 values (f32 [rows, columns])      1 rows
          2 columns                           3 out (uint8 [rows, row_bytes])
          4 importance (f32 [columns])        5 room for a float per row
          6 the family's tables, or 0         7 out: the largest magnitude's bits (int64)

What word 7 points to gets more than those of infinity, 0x7F800000, if there is a NaN.

One thread does it all: a caller gives each of its threads rows of its own.
"""

import numpy as np
from numba import njit, types

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.kernels.inline import part
from zigllm_cli.quants.encoders import ROW_SPANS, family
from zigllm_cli.quants.encoders.lanes import transpose
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import splat_f32x16
from zigllm_cli.simd.convert import bits_of_f32
from zigllm_cli.simd.emit import call, emit
from zigllm_cli.simd.memory import (
    load_f32,
    load_f32x16,
    load_i32x16,
    load_i64,
    load_u8,
    masked_loader,
    stack_room,
    store_f32,
    store_i64,
    store_u8,
    store_vec,
)
from zigllm_cli.simd.vector import I32, I64, f32x16, i32x16

load_first = masked_loader(f32x16)
squares_room, sums_room = stack_room(64 * 16), stack_room(64)


def build(name, weighted):
    """The kernel for a type; `weighted` 1 where importance is given and that is another kernel."""
    kind = tensor_type(name)
    block, block_bytes = kind.block_size, kind.block_bytes
    encode = family(name).encoder(name, bool(weighted))
    per_row, squares = name in ROW_SPANS, name == "IQ2_S"
    values_room, weights_room = stack_room(64 * block), stack_room(64 * block)
    bytes_room = stack_room(16 * block_bytes)

    @part
    def weights_of(importance, first, count, blocks_per_row, row_means, weights, sums):
        """Importance and mean squares of `count` blocks from number `first` on."""
        for i in range(count):
            at = importance + 4 * block * ((first + i) % blocks_per_row)
            for j in range(0, 4 * block, 64):
                store_vec(weights + 4 * block * i + j, load_f32x16(at + j))
            if per_row:
                store_f32(sums + 4 * i, load_f32(row_means + 4 * ((first + i) // blocks_per_row)))

    @njit(error_model="numpy")
    def encode_rows(args, thread, threads):
        x, rows, columns, out = (
            load_i64(args),
            load_i64(args + 8),
            load_i64(args + 16),
            load_i64(args + 24),
        )
        importance, row_means, tables = (
            load_i64(args + 32),
            load_i64(args + 40),
            load_i64(args + 48),
        )
        largest = bits_of_f32(splat_f32x16(np.float32(0)))
        blocks_per_row = columns // block
        blocks = rows * blocks_per_row
        values, weights, sums, spare = values_room(), weights_room(), sums_room(), bytes_room()
        given = importance != 0
        if given and per_row:
            for first in range(0, rows, 16):
                start = x + 4 * columns * min(first, max(rows - 16, 0))
                mean_squares_of_rows(start, columns, min(rows, 16), sums)
                for i in range(min(rows, 16)):
                    store_f32(
                        row_means + 4 * (min(first, max(rows - 16, 0)) + i), load_f32(sums + 4 * i)
                    )
        for first in range(0, blocks, 16):
            count = min(blocks - first, 16)
            at = x + 4 * block * first
            if count < 16:
                copy_floats(at, values, count * block, 16 * block)
                at = values
            for i in range(0, 64 * block, 64):
                largest = larger_magnitude(largest, load_i32x16(at + i))
            if given:
                weights_of(importance, first, count, blocks_per_row, row_means, weights, sums)
            if (given or squares) and not per_row:
                mean_squares(at, 4 * block, block, sums)
            target = out + block_bytes * first
            if count < 16:
                encode(at, weights if given else 0, sums, tables, spare)
                for i in range(count * block_bytes):
                    store_u8(target + i, load_u8(spare + i))
            else:
                encode(at, weights if given else 0, sums, tables, target)
        store_i64(load_i64(args + 56), largest_lane(largest))

    return encode_rows


@emit(i32x16, i32x16, i32x16)
def larger_magnitude(b, most, bits):
    """Floats by their bits, without signs; a NaN is larger than anything."""
    bits = b.and_(bits, i32x16.constant([0x7FFFFFFF] * 16))
    return b.select(b.icmp_signed(">", bits, most), bits, most)


@emit(types.int64, i32x16)
def largest_lane(b, v):
    """The largest of sixteen integers."""
    return b.sext(call(b, "llvm.vector.reduce.smax.v16i32", I32, v), I64)


@part
def mean_squares(x, stride, n, out):
    """For 16 groups of n floats, the mean of their squares, summed in order."""
    total = splat_f32x16(np.float32(0))
    squares = squares_room()
    for i in range(0, n, 16):
        transpose(x + 4 * i, stride, squares)
        for k in range(16):
            v = load_f32x16(squares + 64 * k)
            total = total + v * v
    store_vec(out, total / splat_f32x16(np.float32(n)))


@part
def mean_squares_of_rows(x, columns, rows, out):
    """As `mean_squares` for `rows` of at most 16 rows."""
    if rows == 16:
        mean_squares(x, 4 * columns, columns, out)
    else:
        for r in range(rows):
            total = np.float32(0)
            for i in range(columns):
                v = load_f32(x + 4 * (r * columns + i))
                total += v * v
            store_f32(out + 4 * r, total / np.float32(columns))


@part
def copy_floats(source, target, count, room):
    """`count` floats, and zeros up to `room`; both multiples of 16."""
    for i in range(0, room, 16):
        store_vec(target + 4 * i, load_first(source + 4 * i, max(min(count - i, 16), 0)))
