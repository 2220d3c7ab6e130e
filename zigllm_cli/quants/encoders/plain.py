"""Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: 32 values, a scale, and perhaps a minimum.

Without importance the scale maps the value farthest from zero (or the range) onto the codes and
each value is rounded; with it, `searches` looks for the scale of the least weighted error.
"""

import numpy as np
from llvmlite import ir
from numba import types

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants.encoders.lanes import (
    clamp,
    codes_out,
    extrema,
    farthest_from_zero,
    half_bits_of,
    lanes_in,
    magnitude,
    negative,
    part,
    reciprocal_or_zero,
    rounded_away,
    truncated,
    weigh,
)
from zigllm_cli.quants.encoders.searches import symmetric, with_minimum
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill, splat_f32x16
from zigllm_cli.simd.emit import emit, load, offset, store
from zigllm_cli.simd.memory import load_f32x16, stack_room, store_u16, store_vec
from zigllm_cli.simd.vector import I8, I32, f32x16, i32x16, u8x16, u8x32

BLOCK = 32
values_room, weights_room, codes_room = (stack_room(64 * BLOCK) for _ in range(3))
bytes_room = stack_room(16 * BLOCK)
low_byte = fill(i32x16, 255)
half = fill(f32x16, 0.5)


def encoder(name, weighted):
    """See `encoders`."""
    if name == "Q8_0":
        fit, pack, head = _largest_to_127, copy_bytes, 2
    else:
        bits, has_minimum = int(name[1]), name.endswith("_1")
        if weighted:
            fit = _searched(bits, has_minimum)
        else:
            fit = _range(bits) if has_minimum else _extreme(bits)
        pack, head = (pack_four if bits == 4 else pack_five), 4 if has_minimum else 2
    block_bytes = tensor_type(name).block_bytes

    @part
    def encode(x, w, s, tables, out):
        values, weights, codes, natural = values_room(), weights_room(), codes_room(), bytes_room()
        lanes_in(x, BLOCK, values)
        if weighted:
            lanes_in(w, BLOCK, weights)
            weigh(values, weights, load_f32x16(s), BLOCK)
        scale, low = fit(values, weights, codes)
        codes_out(codes, BLOCK, natural)
        for block in range(16):
            store_u16(out, half_bits_of(scale, block))
            store_u16(out + head - 2, half_bits_of(low if head == 4 else scale, block))
            pack(natural + BLOCK * block, out + head)
            out += block_bytes

    return encode


# ------------------------------------------------------------------ fits: scale, minimum and codes


def _extreme(bits):
    """The value farthest from zero becomes the lowest code."""
    levels = 1 << (bits - 1)
    bounded, middle = clamp(None, 2 * levels - 1), fill(f32x16, levels + 0.5)

    @part
    def fit(x, w, codes):
        extreme, _ = farthest_from_zero(x, BLOCK)
        scale = extreme / splat_f32x16(np.float32(-levels))
        inverse = reciprocal_or_zero(scale)
        for i in range(BLOCK):
            code = truncated(load_f32x16(x + 64 * i) * inverse + middle()) & low_byte()
            store_vec(codes + 64 * i, bounded(code))
        return scale, scale

    return fit


def _range(bits):
    """From the smallest to the largest value in equal steps."""
    top = (1 << bits) - 1
    bounded = clamp(None, top)

    @part
    def fit(x, w, codes):
        low, high = extrema(x, BLOCK)
        scale = (high - low) / splat_f32x16(np.float32(top))
        inverse = reciprocal_or_zero(scale)
        for i in range(BLOCK):
            code = truncated((load_f32x16(x + 64 * i) - low) * inverse + half()) & low_byte()
            store_vec(codes + 64 * i, bounded(code))
        return scale, low

    return fit


@part
def _largest_to_127(x, w, codes):
    scale = magnitude(x, BLOCK) / splat_f32x16(np.float32(127))
    inverse = reciprocal_or_zero(scale)
    for i in range(BLOCK):
        store_vec(codes + 64 * i, rounded_away(load_f32x16(x + 64 * i) * inverse))
    return scale, scale


def _searched(bits, has_minimum):
    """The least error, weighted by importance."""
    if has_minimum:
        search_range = with_minimum(BLOCK, (1 << bits) - 1, -0.9, 0.05, 36, False)

        @part
        def fit(x, w, codes):
            scale, minus_low = search_range(x, w, codes)
            return scale, negative(minus_low)

    else:
        search = symmetric(BLOCK, 1 << (bits - 1))

        @part
        def fit(x, w, codes):
            scale = search(x, w, codes)
            return scale, scale

    return fit


# ------------------------------------------------------------------ bytes


@emit(types.void, types.int64, types.int64)
def copy_bytes(b, codes, out):
    """32 bytes as they are."""
    store(b, out, load(b, codes, u8x32.ir))


def _nibbles(b, codes):
    low, high = load(b, codes, u8x16.ir), load(b, offset(b, codes, 16), u8x16.ir)
    four, fifteen = (ir.Constant(u8x16.ir, [ir.Constant(I8, n)] * 16) for n in (4, 15))
    return b.or_(b.and_(low, fifteen), b.shl(high, four))


@emit(types.void, types.int64, types.int64)
def pack_four(b, codes, out):
    """16 bytes: codes 0..15 in the low nibbles, 16..31 in the high ones."""
    store(b, out, _nibbles(b, codes))


@emit(types.void, types.int64, types.int64)
def pack_five(b, codes, out):
    """The fifth bits of all codes, then their nibbles as in `pack_four`."""
    fifteen = ir.Constant(u8x32.ir, [ir.Constant(I8, 15)] * 32)
    fifth = b.icmp_unsigned(">", load(b, codes, u8x32.ir), fifteen)
    store(b, out, b.bitcast(fifth, I32))
    store(b, offset(b, out, 4), _nibbles(b, codes))
