"""Bits taken out of bytes by position: the multishift."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from zigllm_cli.simd.emit import call, emit
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.vector import I8, I64, u8x16, u8x64


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
