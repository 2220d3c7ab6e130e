"""Conversions between element types: widening, to float and back, half and brain floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from zigllm_cli.simd.emit import broadcast, call, emit, emit_for, load, shuffle, store
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.vector import (
    F16,
    F32,
    I16,
    I32,
    Vec,
    f32x4,
    f32x8,
    f32x16,
    i8x16,
    i8x64,
    i32x16,
    u8x16,
    u8x64,
    u16x16,
    u32x16,
)

FLOATS = {4: f32x4, 8: f32x8, 16: f32x16}


@emit_for(Vec)
def to_f32(vec: Vec) -> Any:
    """Integers of up to 32 bits to floats, lane by lane."""

    def build(b: Any, v: Any) -> Any:
        wide = ir.VectorType(I32, vec.lanes)
        if vec.is_signed:
            return b.sitofp(v if v.type == wide else b.sext(v, wide), FLOATS[vec.lanes].ir)
        if vec.element == "u32":
            return b.uitofp(v, FLOATS[vec.lanes].ir)
        return b.sitofp(b.zext(v, wide), FLOATS[vec.lanes].ir)

    return FLOATS[vec.lanes], build


@emit(i32x16, f32x16)
def round_to_i32(b: Any, v: Any) -> Any:
    """To the nearest integer, ties to even."""
    return b.fptosi(call(b, "llvm.nearbyint.v16f32", f32x16.ir, v), i32x16.ir)


@emit(i8x16, i32x16)
def narrow_i8(b: Any, v: Any) -> Any:
    """The low byte of every lane."""
    return b.trunc(v, i8x16.ir)


@emit(i32x16, i8x16)
def widen_i8(b: Any, v: Any) -> Any:
    """Signed bytes to 32 bits."""
    return b.sext(v, i32x16.ir)


@emit(i32x16, u8x16)
def widen_u8(b: Any, v: Any) -> Any:
    """Unsigned bytes to 32 bits."""
    return b.zext(v, i32x16.ir)


@emit(i32x16, u16x16)
def widen_u16(b: Any, v: Any) -> Any:
    """Unsigned 16 bits to 32 bits."""
    return b.zext(v, i32x16.ir)


@emit(f32x16, i32x16)
def bits_to_f32(b: Any, v: Any) -> Any:
    """The same bits, read as floats."""
    return b.bitcast(v, f32x16.ir)


@emit(i32x16, f32x16)
def bits_of_f32(b: Any, v: Any) -> Any:
    """The bits of floats."""
    return b.bitcast(v, i32x16.ir)


@emit(i8x64, u8x64)
def as_signed(b: Any, v: Any) -> Any:
    """The same bytes, read as signed."""
    return v


@emit(u8x64, i8x64)
def as_unsigned(b: Any, v: Any) -> Any:
    """The same bytes, read as unsigned."""
    return v


@emit(i32x16, u8x64)
def as_i32x16(b: Any, v: Any) -> Any:
    """Every four bytes as one integer."""
    return b.bitcast(v, i32x16.ir)


@emit(u8x64, i32x16)
def as_u8x64(b: Any, v: Any) -> Any:
    """Every integer as four bytes."""
    return b.bitcast(v, u8x64.ir)


def half_to_float(b: Any, bits: ir.Value) -> ir.Value:
    """IR: f16 bits (a vector of i16) as f32; exact.

    Without an instruction for it: exponent and mantissa shifted into place and multiplied by
    2^112, which also normalises what was subnormal; infinities and NaNs get their exponent back.
    """
    count = bits.type.count
    if current().name in ("avx512", "avxvnni", "avx2", "neon"):
        return b.fpext(b.bitcast(bits, ir.VectorType(F16, count)), ir.VectorType(F32, count))
    wide, real = ir.VectorType(I32, count), ir.VectorType(F32, count)

    def lanes(value: int) -> ir.Constant:
        return ir.Constant(wide, [ir.Constant(I32, value)] * count)

    word = b.zext(bits, wide)
    magnitude = b.shl(b.and_(word, lanes(0x7FFF)), lanes(13))
    scaled = b.fmul(b.bitcast(magnitude, real), b.bitcast(lanes(0x77800000), real))
    special = b.icmp_unsigned(">=", magnitude, lanes(0x0F800000))
    value = b.bitcast(scaled, wide)
    value = b.select(special, b.or_(magnitude, lanes(0x7F800000)), value)
    sign = b.shl(b.and_(word, lanes(0x8000)), lanes(16))
    return b.bitcast(b.or_(value, sign), real)


def float_to_half(b: Any, value: ir.Value) -> ir.Value:
    """IR: f32 to f16 bits (a vector of i16), rounded to nearest even."""
    count = value.type.count
    if current().name in ("avx512", "avxvnni", "avx2", "neon"):
        return b.bitcast(b.fptrunc(value, ir.VectorType(F16, count)), ir.VectorType(I16, count))
    wide, real = ir.VectorType(I32, count), ir.VectorType(F32, count)

    def lanes(number: int) -> ir.Constant:
        return ir.Constant(wide, [ir.Constant(I32, number)] * count)

    bits = b.bitcast(value, wide)
    sign = b.lshr(b.and_(bits, lanes(0x80000000 - (1 << 32))), lanes(16))
    magnitude = b.and_(bits, lanes(0x7FFFFFFF))
    # normal: rebias, then round by adding half of the dropped part (and one when odd)
    odd = b.and_(b.lshr(magnitude, lanes(13)), lanes(1))
    rebiased = b.sub(magnitude, lanes(112 << 23))
    normal = b.lshr(b.add(b.add(rebiased, lanes(0xFFF)), odd), lanes(13))
    # subnormal: adding 0.5 leaves the rounded mantissa in the low bits of the sum
    half = b.bitcast(lanes(126 << 23), real)
    small = b.sub(b.bitcast(b.fadd(b.bitcast(magnitude, real), half), wide), lanes(126 << 23))
    result = b.select(b.icmp_unsigned("<", magnitude, lanes(113 << 23)), small, normal)
    infinite = b.icmp_unsigned(">=", magnitude, lanes(0x477FF000))
    result = b.select(infinite, lanes(0x7C00), result)
    nan = b.icmp_unsigned(">", magnitude, lanes(0x7F800000))
    result = b.select(nan, lanes(0x7E00), result)
    return b.trunc(b.or_(result, sign), ir.VectorType(I16, count))


@emit(f32x16, u16x16)
def f16_to_f32(b: Any, v: Any) -> Any:
    """Bits of half floats to floats."""
    return half_to_float(b, v)


@emit(u16x16, f32x16)
def f32_to_f16(b: Any, v: Any) -> Any:
    """Floats to bits of half floats, to nearest even."""
    return float_to_half(b, v)


@emit(f32x16, u16x16)
def bf16_to_f32(b: Any, v: Any) -> Any:
    """Bits of brain floats, the upper half of a float, to floats."""
    shift = ir.Constant(i32x16.ir, [ir.Constant(I32, 16)] * 16)
    return b.bitcast(b.shl(b.zext(v, i32x16.ir), shift), f32x16.ir)


@emit(u16x16, f32x16)
def f32_to_bf16(b: Any, v: Any) -> Any:
    """Floats to bits of brain floats, to nearest even; a NaN stays one."""

    def lanes(number: int) -> ir.Constant:
        return ir.Constant(i32x16.ir, [ir.Constant(I32, number)] * 16)

    bits = b.bitcast(v, i32x16.ir)
    odd = b.and_(b.lshr(bits, lanes(16)), lanes(1))
    rounded = b.lshr(b.add(b.add(bits, lanes(0x7FFF)), odd), lanes(16))
    quiet = b.or_(b.lshr(bits, lanes(16)), lanes(0x40))
    return b.trunc(b.select(b.fcmp_unordered("uno", v, v), quiet, rounded), u16x16.ir)


@emit(types.void, types.intp, types.float32)
def store_f16(b: Any, p: Any, value: Any) -> None:
    """Store one float as a half float."""
    one = broadcast(b, value, 1)
    store(b, p, b.extract_element(float_to_half(b, one), ir.Constant(I32, 0)))


@emit(f32x16, types.intp)
def load_f16x16(b: Any, p: Any) -> Any:
    """Sixteen half floats of memory, widened."""
    return half_to_float(b, load(b, p, u16x16.ir))


@emit(u32x16, i32x16)
def as_u32x16(b: Any, v: Any) -> Any:
    """The same bits, read as unsigned."""
    return v


@emit(f32x16, types.int64)
def f16_bits_everywhere(b: Any, bits: Any) -> Any:
    """The half float whose bits these are, in every lane."""
    return half_to_float(b, broadcast(b, b.trunc(bits, I16), 16))


@emit(f32x16, i32x16)
def half_of_e8m0(b: Any, exponent: Any) -> Any:
    """2^(e - 128) of the exponents e = 0..255 of microscaling formats: half of what they say."""

    def lanes(number: int) -> ir.Constant:
        return ir.Constant(i32x16.ir, [ir.Constant(I32, number)] * 16)

    normal = b.sub(b.shl(exponent, lanes(23)), lanes(1 << 23))
    subnormal = b.add(b.shl(exponent, lanes(21)), lanes(1 << 21))  # right for 0 and 1, else less
    return b.bitcast(b.select(b.icmp_signed(">", normal, subnormal), normal, subnormal), f32x16.ir)


@emit(f32x16, i32x16)
def half_of_e4m3(b: Any, bits: Any) -> Any:
    """Half of eight-bit floats without a sign (4 bits exponent, 3 mantissa); NaN becomes zero.

    The bits are those of a half float with another bias: exact, subnormal ones included.
    """

    def lanes(number: int) -> ir.Constant:
        return ir.Constant(i32x16.ir, [ir.Constant(I32, number)] * 16)

    shifted = b.shl(b.and_(bits, lanes(0x7F)), lanes(7))
    value = half_to_float(b, b.trunc(shifted, u16x16.ir))
    scaled = b.fmul(value, ir.Constant(f32x16.ir, [ir.Constant(F32, 128.0)] * 16))
    nan = b.icmp_unsigned("==", bits, lanes(0x7F))
    return b.select(nan, ir.Constant(f32x16.ir, None), scaled)


def f16_lanes(source: Vec, places: Sequence[int]) -> Any:
    """An operation: 16 half floats of a vector of bytes, as f32; number n has bytes 2n, 2n + 1."""

    def build(b: Any, v: Any) -> Any:
        halves = b.bitcast(v, ir.VectorType(I16, source.lanes // 2))
        return half_to_float(b, shuffle(b, halves, halves, places))

    return emit(f32x16, source)(build)
