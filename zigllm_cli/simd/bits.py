"""Bits taken out of bytes by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from zigllm_cli.simd.emit import call, emit, shuffle
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.vector import I32, Vec, i32x16, u8x16, u8x64


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


def _shift_right_quads(vec: Vec, counts: Sequence[int]) -> Any:
    quads = ir.VectorType(I32, vec.lanes // 4)
    amounts = ir.Constant(quads, list(counts))
    return emit(vec, vec)(lambda b, v: b.bitcast(b.lshr(b.bitcast(v, quads), amounts), vec.ir))


def shift_right_quads(counts: Sequence[int]) -> Any:
    """An operation (u8x64): every four bytes, as one number, shifted down by a count of their own.

    Upper bits of a byte hold what came from its neighbour, so mask or ignore them.
    """
    return _shift_right_quads(u8x64, counts)


def shift_right_quads_u8x16(counts: Sequence[int]) -> Any:
    """As `shift_right_quads`, on 16 bytes."""
    return _shift_right_quads(u8x16, counts)


def rotate_quads(counts: Sequence[int]) -> Any:
    """An operation (u8x64): as `shift_right_quads`, but turned to the left (-31..31)."""
    return emit(u8x64, u8x64)(lambda b, v: _rotated(b, v, counts))


def _rotated(b: Any, v: ir.Value, counts: Sequence[int]) -> ir.Value:
    amounts = i32x16.constant([count % 32 for count in counts])
    quads = b.bitcast(v, i32x16.ir)
    return b.bitcast(call(b, "llvm.fshl.v16i32", i32x16.ir, quads, quads, amounts), u8x64.ir)


def single_bits(sources: Sequence[int], target: int) -> Any:
    """An operation (u8x64): one bit of every byte, brought to bit `target`; all others are zero.

    Args:
        sources: which bit (0..7), for each four bytes.
    """
    wanted = u8x64.constant([1 << sources[i // 4] for i in range(64)])
    result = u8x64.constant([1 << target] * 64)

    def by_rotation(b: Any, v: Any) -> Any:
        return b.and_(_rotated(b, v, [target - source for source in sources]), result)

    def by_comparison(b: Any, v: Any) -> Any:
        """Without a rotation (two shifts and an or) of its own."""
        found = b.icmp_unsigned("==", b.and_(v, wanted), wanted)
        return b.and_(b.sext(found, u8x64.ir), result)

    build = by_rotation if current().name == "avx512" else by_comparison
    return emit(u8x64, u8x64)(build)
