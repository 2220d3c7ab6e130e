"""Q1_0, Q2_0, TQ1_0, TQ2_0: a sign, two bits or a third of a byte and more per value.

The scale is the mean magnitude (Q1_0) or the largest; a value becomes the nearest of -1, 0, 1 (and
2 in Q2_0) times it. Importance does not matter.
"""

import numpy as np
from llvmlite import ir
from numba import types

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants.encoders.lanes import (
    at_least,
    clamp,
    codes_out,
    half_bits_of,
    lanes_in,
    magnitude,
    part,
    reciprocal_or_zero,
    rounded_away,
    zero,
)
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import absolute, fill, select, splat_f32x16
from zigllm_cli.simd.emit import emit, load, offset, store
from zigllm_cli.simd.memory import load_f32x16, load_u8, stack_room, store_u8, store_u16, store_vec
from zigllm_cli.simd.vector import I8, i32x16, u8x32, u8x64

set_bit, no_bit = fill(i32x16, 1), fill(i32x16, 0)
plus_one = fill(i32x16, 1)
bounded = clamp(0, 3)


def encoder(name, weighted):
    """See `encoders`."""
    kind = tensor_type(name)
    block, block_bytes = kind.block_size, kind.block_bytes
    scale_at = block_bytes - 2 if name.startswith("T") else 0
    codes_at = 0 if name.startswith("T") else 2
    values_room, codes_room = stack_room(64 * block), stack_room(64 * block)
    bytes_room = stack_room(16 * block)
    pack = {"Q1_0": pack_bits, "Q2_0": pack_pairs, "TQ1_0": pack_thirds, "TQ2_0": pack_quarters}
    fit, pack = (_signs(block) if name == "Q1_0" else _nearest(block)), pack[name]

    @part
    def encode(x, w, s, tables, out):
        values, codes, natural = values_room(), codes_room(), bytes_room()
        lanes_in(x, block, values)
        scale = fit(values, codes)
        codes_out(codes, block, natural)
        for number in range(16):
            store_u16(out + scale_at, half_bits_of(scale, number))
            pack(natural + block * number, out + codes_at)
            out += block_bytes

    return encode


def _signs(block):
    """One where a value is not negative; the scale is the mean magnitude."""

    @part
    def fit(x, codes):
        total = zero()
        for i in range(block):
            v = load_f32x16(x + 64 * i)
            total = total + absolute(v)
            store_vec(codes + 64 * i, select(at_least(v, zero()), set_bit(), no_bit()))
        return total / splat_f32x16(np.float32(block))

    return fit


def _nearest(block):
    """Multiples -1, 0, 1 (and 2) of the largest magnitude, as 0, 1, 2 (and 3)."""

    @part
    def fit(x, codes):
        scale = magnitude(x, block)
        inverse = reciprocal_or_zero(scale)
        for i in range(block):
            code = rounded_away(load_f32x16(x + 64 * i) * inverse) + plus_one()
            store_vec(codes + 64 * i, bounded(code))
        return scale

    return fit


# ------------------------------------------------------------------ bytes


@emit(types.void, types.int64, types.int64)
def pack_bits(b, codes, out):
    """128 bits, the first lowest."""
    zeros = ir.Constant(u8x64.ir, None)
    for half in range(2):
        is_set = b.icmp_unsigned("!=", load(b, offset(b, codes, 64 * half), u8x64.ir), zeros)
        store(b, offset(b, out, 8 * half), b.bitcast(is_set, ir.IntType(64)))


@part
def pack_pairs(codes, out):
    """64 codes of two bits, four next to each other in a byte."""
    for i in range(16):
        byte = 0
        for k in range(4):
            byte |= load_u8(codes + 4 * i + k) << (2 * k)
        store_u8(out + i, byte)


@emit(types.void, types.int64, types.int64)
def pack_quarters(b, codes, out):
    """256 codes of two bits: byte i of 32 holds those at i, i + 32, i + 64 and i + 96."""
    for half in range(2):
        packed = ir.Constant(u8x32.ir, None)
        for k in range(4):
            piece = load(b, offset(b, codes, 128 * half + 32 * k), u8x32.ir)
            amount = ir.Constant(u8x32.ir, [ir.Constant(I8, 2 * k)] * 32)
            packed = b.or_(packed, b.shl(piece, amount))
        store(b, offset(b, out, 32 * half), packed)


@part
def pack_thirds(codes, out):
    """Five codes a byte as digits of base 3: 32 at a stride of 32, 16 of 16, and four of four.

    The byte is the fraction of 243 that the digits make, times 256 and rounded up.
    """
    for i in range(32):
        store_u8(out + i, digits(codes + i, 32, 5))
    for i in range(16):
        store_u8(out + 32 + i, digits(codes + 160 + i, 16, 5))
    for i in range(4):
        store_u8(out + 48 + i, digits(codes + 240 + i, 4, 4))


@part
def digits(codes, stride, count):
    """`count` digits and zeros behind them, as a byte."""
    value = 0
    for k in range(5):
        value *= 3
        if k < count:
            value += load_u8(codes + stride * k)
    return (value * 256 + 242) // 243
