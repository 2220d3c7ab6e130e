"""The bytes of a block of K-quants, from one code per byte; `quants/q4_k.py` etc. show the layouts.

`PACK[name]` is a function (codes, scale codes, minimum codes, d, dmin, out).
"""

from llvmlite import ir
from numba import types

from zigllm_cli.quants.encoders.lanes import part
from zigllm_cli.simd.convert import store_f16
from zigllm_cli.simd.emit import emit, load, offset, store
from zigllm_cli.simd.memory import load_u8, store_i64, store_u8
from zigllm_cli.simd.vector import I8, u8x32

BYTES = u8x32.ir


def _each(value):
    return ir.Constant(BYTES, [ir.Constant(I8, value)] * 32)


def _piece(b, codes, number):
    """Codes 32 * number to 32 * number + 31."""
    return load(b, offset(b, codes, 32 * number), BYTES)


def _joined(b, pieces, mask, shifts):
    """The masked bits of each piece, shifted to their places in a byte."""
    result = ir.Constant(BYTES, None)
    for piece, shift in zip(pieces, shifts, strict=True):
        result = b.or_(result, b.shl(b.and_(piece, _each(mask)), _each(shift)))
    return result


@emit(types.void, types.int64, types.int64)
def pack_low_pairs(b, codes, out):
    """The low two bits of four pieces of 32 in 32 bytes, twice."""
    for half in range(2):
        pieces = [_piece(b, codes, 4 * half + k) for k in range(4)]
        store(b, offset(b, out, 32 * half), _joined(b, pieces, 3, (0, 2, 4, 6)))


@emit(types.void, types.int64, types.int64)
def pack_bit_2(b, codes, out):
    """Bit 2 of eight pieces of 32, piece k in bit k of 32 bytes."""
    pieces = [b.lshr(_piece(b, codes, k), _each(2)) for k in range(8)]
    store(b, out, _joined(b, pieces, 1, range(8)))


@emit(types.void, types.int64, types.int64)
def pack_bit_4(b, codes, out):
    """Bit 4 of eight pieces of 32, piece k in bit k of 32 bytes."""
    pieces = [b.lshr(_piece(b, codes, k), _each(4)) for k in range(8)]
    store(b, out, _joined(b, pieces, 1, range(8)))


@emit(types.void, types.int64, types.int64)
def pack_low_nibbles(b, codes, out):
    """The low nibbles of two pieces of 32 in 32 bytes, four times."""
    for quarter in range(4):
        pieces = [_piece(b, codes, 2 * quarter + k) for k in range(2)]
        store(b, offset(b, out, 32 * quarter), _joined(b, pieces, 15, (0, 4)))


@emit(types.void, types.int64, types.int64)
def pack_six(b, codes, out):
    """Q6_K: 128 bytes of low nibbles (a piece and the next but one), 64 of upper pairs."""
    for half in range(2):
        pieces = [_piece(b, codes, 4 * half + k) for k in range(4)]
        for k in range(2):
            low = _joined(b, (pieces[k], pieces[k + 2]), 15, (0, 4))
            store(b, offset(b, out, 64 * half + 32 * k), low)
        upper = [b.lshr(piece, _each(4)) for piece in pieces]
        store(b, offset(b, out, 128 + 32 * half), _joined(b, upper, 3, (0, 2, 4, 6)))


@part
def six_bit_scales(scales, minima, out):
    """Eight scales and eight minima of six bits in twelve bytes."""
    for j in range(4):
        upper_scale, upper_minimum = load_u8(scales + 4 + j), load_u8(minima + 4 + j)
        store_u8(out + j, load_u8(scales + j) | (upper_scale >> 4) << 6)
        store_u8(out + 4 + j, load_u8(minima + j) | (upper_minimum >> 4) << 6)
        store_u8(out + 8 + j, upper_scale & 15 | (upper_minimum & 15) << 4)


@part
def q2_k(codes, scales, minima, d, dmin, out):
    for j in range(16):
        store_u8(out + j, load_u8(scales + j) & 15 | load_u8(minima + j) << 4)
    pack_low_pairs(codes, out + 16)
    store_f16(out + 80, d)
    store_f16(out + 82, dmin)


@part
def q3_k(codes, scales, minima, d, dmin, out):
    pack_bit_2(codes, out)
    pack_low_pairs(codes, out + 32)
    for j in range(8):
        store_u8(out + 96 + j, load_u8(scales + j) & 15 | (load_u8(scales + 8 + j) & 15) << 4)
    for j in range(4):
        byte = 0
        for k in range(4):
            byte |= (load_u8(scales + j + 4 * k) >> 4) << (2 * k)
        store_u8(out + 104 + j, byte)
    store_f16(out + 108, d)


@part
def q4_k(codes, scales, minima, d, dmin, out):
    store_f16(out, d)
    store_f16(out + 2, dmin)
    six_bit_scales(scales, minima, out + 4)
    pack_low_nibbles(codes, out + 16)


@part
def q5_k(codes, scales, minima, d, dmin, out):
    store_f16(out, d)
    store_f16(out + 2, dmin)
    six_bit_scales(scales, minima, out + 4)
    pack_bit_4(codes, out + 16)
    pack_low_nibbles(codes, out + 48)


@part
def q6_k(codes, scales, minima, d, dmin, out):
    if dmin == 0:  # an empty block is all zeros
        for j in range(0, 208, 8):
            store_i64(out + j, 0)
    else:
        pack_six(codes, out)
        for j in range(16):
            store_u8(out + 192 + j, load_u8(scales + j) - 128)
    store_f16(out + 208, d)


PACK = {"Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k}
