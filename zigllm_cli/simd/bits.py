"""Bits taken out of bytes by position: the multishift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from zigllm_cli.simd.emit import call, emit, shuffle
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.vector import I8, I64, Vec, i32x16, u8x16, u8x64


def _portable(b: Any, control: ir.Value, data: ir.Value) -> ir.Value:
    """Rotate each 64-bit part by the control of every byte, keep the low byte."""
    count = control.type.count
    words = b.bitcast(data, ir.VectorType(I64, count // 8))
    lanes = ir.VectorType(I64, count)
    pick = ir.Constant(ir.VectorType(ir.IntType(32), count), [i // 8 for i in range(count)])
    each = b.shuffle_vector(words, words, pick)
    amount = b.zext(control, lanes)
    amount = b.and_(amount, ir.Constant(lanes, [ir.Constant(I64, 63)] * count))
    turned = call(b, f"llvm.fshr.v{count}i64", lanes, each, each, amount)
    return b.trunc(turned, ir.VectorType(I8, count))


@emit(u8x16, u8x16, u8x16)
def multishift_u8x16(b: Any, control: Any, data: Any) -> Any:
    """Byte i: the eight bits from bit control[i] of its 64-bit part of the data, turning round."""
    if current().name == "avx512":
        return call(b, "llvm.x86.avx512.pmultishift.qb.128", u8x16.ir, control, data)
    return _portable(b, control, data)


@emit(u8x64, u8x64, u8x64)
def multishift_u8x64(b: Any, control: Any, data: Any) -> Any:
    """As `multishift_u8x16`, on 64 bytes."""
    if current().name == "avx512":
        return call(b, "llvm.x86.avx512.pmultishift.qb.512", u8x64.ir, control, data)
    return _portable(b, control, data)


def bit_windows(starts: Sequence[int]) -> Any:
    """An operation (v): byte i is the eight bits from bit starts[i] of v's i//8-th 64-bit part.

    The multishift with constant starts (0..63; past the end it goes on at bit 0), which takes
    few instructions everywhere: without one of its own, two bytes are shifted as a word.
    """
    return _windows(u8x64, starts)


def bit_windows_u8x16(starts: Sequence[int]) -> Any:
    """As `bit_windows`, on 16 bytes."""
    return _windows(u8x16, starts)


def _windows(vec: Vec, starts: Sequence[int]) -> Any:
    if current().name == "avx512":
        control = vec.constant(starts)
        name = f"llvm.x86.avx512.pmultishift.qb.{8 * vec.lanes}"
        return emit(vec, vec)(lambda b, v: call(b, name, vec.ir, control, v))

    words = ir.VectorType(ir.IntType(16), vec.lanes)
    picks = [8 * (i // 8) + (s // 8 + k) % 8 for i, s in enumerate(starts) for k in range(2)]
    shifts = ir.Constant(words, [ir.Constant(words.element, s % 8) for s in starts])

    def build(b: Any, v: Any) -> Any:
        pairs = b.bitcast(shuffle(b, v, v, picks), words)
        return b.trunc(b.lshr(pairs, shifts), vec.ir)

    return emit(vec, vec)(build)


def shift_right_quads(counts: Sequence[int]) -> Any:
    """An operation (u8x64): every four bytes, as one number, shifted down by a count of their own.

    Upper bits of a byte hold what came from its neighbour, so mask or ignore them.
    """
    amounts = i32x16.constant(counts)
    return emit(u8x64, u8x64)(
        lambda b, v: b.bitcast(b.lshr(b.bitcast(v, i32x16.ir), amounts), u8x64.ir)
    )


def rotate_quads(counts: Sequence[int]) -> Any:
    """An operation (u8x64): as `shift_right_quads`, but turned to the left (-31..31)."""
    amounts = i32x16.constant([count % 32 for count in counts])

    def build(b: Any, v: Any) -> Any:
        quads = b.bitcast(v, i32x16.ir)
        return b.bitcast(call(b, "llvm.fshl.v16i32", i32x16.ir, quads, quads, amounts), u8x64.ir)

    return emit(u8x64, u8x64)(build)
