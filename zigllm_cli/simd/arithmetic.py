"""Arithmetic beyond the operators: constants, fused multiply-add, extrema, sums, shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from zigllm_cli.simd.emit import broadcast, call, emit, emit_for
from zigllm_cli.simd.vector import (
    F32,
    I16,
    I32,
    Vec,
    f32x16,
    i8x64,
    i32x16,
    mask16,
    mask64,
    u8x16,
    u8x64,
)

SCALARS = {"f32": types.float32, "i32": types.int32, "u8": types.uint8, "i8": types.int8}


def const(vec: Vec, values: Sequence[float]) -> Any:
    """An operation without arguments: the constant vector of these lanes."""
    constant = vec.constant(values)

    def constant_vector(b: Any) -> Any:
        return constant

    return emit(vec)(constant_vector)


def fill(vec: Vec, value: float) -> Any:
    """An operation without arguments: one constant in every lane."""
    return const(vec, [value] * vec.lanes)


zero_f32x16, zero_i32x16, zero_u8x64 = fill(f32x16, 0), fill(i32x16, 0), fill(u8x64, 0)


def splat(vec: Vec) -> Any:
    """An operation: a scalar of the element's type in every lane."""

    def splat_scalar(b: Any, x: Any) -> Any:
        return broadcast(b, x, vec.lanes)

    splat_scalar.__name__ = f"splat_{vec.name}"
    return emit(vec, SCALARS[vec.element])(splat_scalar)


splat_f32x16, splat_i32x16, splat_u8x64 = splat(f32x16), splat(i32x16), splat(u8x64)


@emit(f32x16, f32x16, f32x16, f32x16)
def fma(b: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return call(b, "llvm.fma.v16f32", f32x16.ir, x, y, z)


@emit(f32x16, f32x16, f32x16)
def maximum(b: Any, x: Any, y: Any) -> Any:
    """The larger of each lane; of y where x is NaN."""
    return b.select(b.fcmp_ordered(">", x, y), x, y)


@emit(f32x16, f32x16, f32x16)
def minimum(b: Any, x: Any, y: Any) -> Any:
    """The smaller of each lane; of y where x is NaN."""
    return b.select(b.fcmp_ordered("<", x, y), x, y)


@emit(f32x16, f32x16)
def absolute(b: Any, v: Any) -> Any:
    """Without the sign."""
    return call(b, "llvm.fabs.v16f32", f32x16.ir, v)


@emit(f32x16, f32x16)
def square_root(b: Any, v: Any) -> Any:
    """Lane by lane, correctly rounded."""
    return call(b, "llvm.sqrt.v16f32", f32x16.ir, v)


@emit(types.float32, f32x16)
def lane_sum(b: Any, v: Any) -> Any:
    """The sum of all lanes, as a tree: the order never depends on the machine."""
    while v.type.count > 1:
        half = v.type.count // 2
        kind = ir.VectorType(I32, half)
        low = b.shuffle_vector(v, v, ir.Constant(kind, list(range(half))))
        high = b.shuffle_vector(v, v, ir.Constant(kind, list(range(half, 2 * half))))
        v = b.fadd(low, high)
    return b.extract_element(v, ir.Constant(I32, 0))


@emit(types.float32, f32x16)
def lane_maximum(b: Any, v: Any) -> Any:
    """The largest lane."""
    while v.type.count > 1:
        half = v.type.count // 2
        kind = ir.VectorType(I32, half)
        low = b.shuffle_vector(v, v, ir.Constant(kind, list(range(half))))
        high = b.shuffle_vector(v, v, ir.Constant(kind, list(range(half, 2 * half))))
        v = b.select(b.fcmp_ordered(">", low, high), low, high)
    return b.extract_element(v, ir.Constant(I32, 0))


def shift_right(count: int) -> Any:
    """An operation: every byte (or lane) shifted down by a constant, zeros coming in."""

    @emit_for(Vec)
    def shifted_right(vec: Vec) -> Any:
        return vec, lambda b, v: b.lshr(v, vec.constant([count] * vec.lanes))

    return shifted_right


def shift_left(count: int) -> Any:
    """An operation: every lane shifted up by a constant."""

    @emit_for(Vec)
    def shifted_left(vec: Vec) -> Any:
        return vec, lambda b, v: b.shl(v, vec.constant([count] * vec.lanes))

    return shifted_left


def shift_right_words(count: int) -> Any:
    """An operation: every *pair* of bytes shifted down as one 16-bit number.

    One instruction where a shift of bytes takes two; the upper bits of each low byte hold what
    came from its neighbour, so mask or ignore them.
    """

    def build(b: Any, v: Any) -> Any:
        words = ir.VectorType(I16, 32)
        amount = ir.Constant(words, [ir.Constant(I16, count)] * 32)
        return b.bitcast(b.lshr(b.bitcast(v, words), amount), u8x64.ir)

    return emit(u8x64, u8x64)(build)


@emit_for(Vec, Vec, Vec)
def select(mask: Vec, x: Vec, y: Vec) -> Any:
    """x where the mask is set, else y."""
    assert mask.element == "m", "select(mask, x, y)"
    assert x == y, "select(mask, x, y) of two types"
    return x, lambda b, m, u, v: b.select(m, u, v)


@emit(mask64, u8x64)
def top_bits(b: Any, v: Any) -> Any:
    """The highest bit of every byte, as a mask."""
    return b.icmp_signed("<", v, ir.Constant(u8x64.ir, None))


@emit(mask64, u8x64, u8x64)
def has_bits(b: Any, v: Any, bits: Any) -> Any:
    """Whether a byte has one of the bits."""
    return b.icmp_unsigned("!=", b.and_(v, bits), ir.Constant(u8x64.ir, None))


@emit(mask16, f32x16, f32x16)
def greater(b: Any, x: Any, y: Any) -> Any:
    """x > y in each lane; false for NaN."""
    return b.fcmp_ordered(">", x, y)


@emit(i8x64, mask64, i8x64)
def negate_where(b: Any, mask: Any, v: Any) -> Any:
    """The negative of the bytes that the mask marks."""
    return b.select(mask, b.sub(ir.Constant(i8x64.ir, None), v), v)


@emit(mask16, types.int64)
def first_lanes(b: Any, count: Any) -> Any:
    """The mask of the first `count` lanes of sixteen."""
    from zigllm_cli.simd.vector import I64

    kind = ir.VectorType(I64, 16)
    lanes = ir.Constant(kind, [ir.Constant(I64, lane) for lane in range(16)])
    return b.icmp_signed("<", lanes, broadcast(b, count, 16))


@emit(types.float32, types.float64)
def narrow_f64(b: Any, x: Any) -> Any:
    """A double as a float."""
    return b.fptrunc(x, F32)


low_nibbles = fill(u8x64, 15)
low_nibbles_16 = fill(u8x16, 15)
