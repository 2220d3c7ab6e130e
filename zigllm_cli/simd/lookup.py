"""Look-ups in a table of sixteen bytes, which stays in a register."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from zigllm_cli.simd.emit import call, emit, halves, joined
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.vector import I8, u8x64


def lookup16(table: Sequence[int]) -> Any:
    """An operation (u8x64): each byte's lower four bits replaced by their entry of the table.

    The upper bits are ignored, so an index need not be masked.
    """
    builds = {"avx512": _permuted, "avxvnni": _in_halves, "avx2": _in_halves, "neon": _in_quarters}
    build = builds.get(current().name, _selected)
    return emit(u8x64, u8x64)(lambda b, v: build(b, list(table), v))


def _permuted(b: Any, table: list[int], index: ir.Value) -> ir.Value:
    """Six bits of the index count and the table stands there four times: nothing to mask."""
    name = "llvm.x86.avx512.permvar.qi.512"
    return call(b, name, u8x64.ir, u8x64.constant(table * 4), index)


def _masked(b: Any, index: ir.Value) -> ir.Value:
    return b.and_(index, u8x64.constant([15] * 64))


def _bytes(values: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(I8, len(values)), [ir.Constant(I8, v) for v in values])


def _in_halves(b: Any, table: list[int], index: ir.Value) -> ir.Value:
    twice = _bytes(table * 2)
    parts = halves(b, _masked(b, index), 2)
    return joined(b, [call(b, "llvm.x86.avx2.pshuf.b", p.type, twice, p) for p in parts])


def _in_quarters(b: Any, table: list[int], index: ir.Value) -> ir.Value:
    once = _bytes(table)
    parts = halves(b, _masked(b, index), 4)
    return joined(b, [call(b, "llvm.aarch64.neon.tbl1.v16i8", p.type, once, p) for p in parts])


def _selected(b: Any, table: list[int], index: ir.Value) -> ir.Value:
    """A tree: each bit of the index chooses between halves of what is left of the table."""
    zero = u8x64.constant([0] * 64)
    left = [u8x64.constant([entry] * 64) for entry in table]
    for bit in range(4):
        is_set = b.icmp_unsigned("!=", b.and_(index, u8x64.constant([1 << bit] * 64)), zero)
        pairs = zip(left[::2], left[1::2], strict=True)
        left = [b.select(is_set, high, low) for low, high in pairs]
    return left[0]
