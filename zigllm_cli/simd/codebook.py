"""Look-ups in code books of 256 to 2048 entries, as wide as a step of 256 weights.

With byte permutes a table is held in registers, 64 bytes each: one two-source permute looks up
64 indices among 128 bytes (or 32 among 64 words), and blends by the higher bits of the index
choose between them. Sixteen registers hold what fits beside a kernel's other values; a larger
table comes from the first-level cache, or is read entry by entry. Without byte permutes every
table is read entry by entry; a gather is slower than either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from zigllm_cli.simd.emit import call, emit, joined, load, offset
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.vector import (
    F64,
    I8,
    I16,
    I32,
    I64,
    Tile,
    f32x16,
    i32x16,
    mask64,
    u8x64,
    u16x32,
)

IN_REGISTERS = 1024
"""Bytes of a table that may stay in registers."""

two_planes, four_vectors = Tile(u8x64, 2), Tile(u8x64, 4)


def table_address(b: Any, name: str, entry: ir.IntType, values: Sequence[int]) -> ir.Value:
    """IR: the address of a constant table; the name stands for the values within a module."""
    table = b.module.globals.get(name)
    if table is None:
        kind = ir.ArrayType(entry, len(values))
        table = ir.GlobalVariable(b.module, kind, name)
        table.initializer = ir.Constant(kind, [ir.Constant(entry, value) for value in values])
        table.global_constant = table.unnamed_addr = True
        table.linkage, table.align = "internal", 64
    return b.ptrtoint(table, I64)


def unhoisted(b: Any, address: ir.Value) -> ir.Value:
    """IR: the same address, unknown to LLVM, so that no load is moved out of the loop."""
    return b.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [address], True)


def constants(b: Any, name: str, *vectors: Sequence[int]) -> list[ir.Value]:
    """IR: constant byte vectors, read where they are used.

    A loop around a table in registers has none to spare: what LLVM would keep there beside the
    table costs it more moves than the reads do.
    """
    flat = [value for vector in vectors for value in vector]
    base = unhoisted(b, table_address(b, name, I8, flat))
    return [load(b, offset(b, base, 64 * i), u8x64.ir, 64) for i in range(len(vectors))]


def _tree(b: Any, leaves: Sequence[ir.Value], bits: Sequence[ir.Value]) -> ir.Value:
    """One of 2^n vectors per lane, by n masks, the lowest bit first."""
    for bit in bits:
        pairs = zip(leaves[::2], leaves[1::2], strict=True)
        leaves = [b.select(bit, high, low) for low, high in pairs]
    return leaves[0]


def _rows(b: Any, name: str, values: Sequence[int], vec: Any) -> list[ir.Value]:
    """A table as vectors: constants while registers last, else reads."""
    count = len(values) // vec.lanes
    parts = [values[vec.lanes * i : vec.lanes * (i + 1)] for i in range(count)]
    if 64 * count <= IN_REGISTERS:
        return [vec.constant(part) for part in parts]
    base = unhoisted(b, table_address(b, name, vec.ir.element, values))
    return [load(b, offset(b, base, 64 * i), vec.ir, 64) for i in range(count)]


def _permute(b: Any, kind: str, rows: Sequence[ir.Value], index: ir.Value) -> list[ir.Value]:
    name = f"llvm.x86.avx512.vpermi2var.{kind}.512"
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return [call(b, name, index.type, low, index, high) for low, high in pairs]


def look_up_words(name: str, table: Sequence[int]) -> Any:
    """An operation (index u8x64): each 16-bit index replaced by its word of a table of 2^n.

    Bits of an index above the n-th are ignored.

    Args:
        name: of the table, for the object code.
        table: 256 or more numbers of 16 bits.
    """
    bits = len(table).bit_length() - 1

    def by_permutes(b: Any, v: Any) -> Any:
        index, masks = b.bitcast(v, u16x32.ir), []
        for bit in range(6, bits):
            one = u16x32.constant([1 << bit] * 32)
            masks.append(b.icmp_unsigned("!=", b.and_(index, one), u16x32.constant([0] * 32)))
        found = _permute(b, "hi", _rows(b, name, table, u16x32), index)
        return b.bitcast(_tree(b, found, masks), u8x64.ir)

    def by_reads(b: Any, v: Any) -> Any:
        base = table_address(b, name, I16, table)
        low = b.and_(b.bitcast(v, u16x32.ir), u16x32.constant([len(table) - 1] * 32))
        result = ir.Constant(u16x32.ir, ir.Undefined)
        for i in range(32):
            entry = _entry(b, base, low, i, I16)
            result = b.insert_element(result, entry, ir.Constant(I32, i))
        return b.bitcast(result, u8x64.ir)

    return emit(u8x64, u8x64)(by_permutes if current().name == "avx512" else by_reads)


def _entry(b: Any, base: ir.Value, index: ir.Value, lane: int, kind: ir.IntType) -> ir.Value:
    place = b.zext(b.extract_element(index, ir.Constant(I32, lane)), I64)
    return load(b, b.add(base, b.mul(place, ir.Constant(I64, kind.width // 8))), kind)


def look_up_planes(name: str, table: Sequence[int]) -> Any:
    """An operation (index u8x64, [ninth bits mask64]): the low and the high bytes of 64 words.

    The table has 256 numbers of 16 bits, or 512 when the index has a ninth bit.
    """
    planes = [value & 255 for value in table], [value >> 8 for value in table]

    def by_permutes(b: Any, index: Any, *ninth: Any) -> Any:
        eighth = b.icmp_signed("<", index, u8x64.constant([0] * 64))
        result = ir.Constant(two_planes.ir, ir.Undefined)
        for i, plane in enumerate(planes):
            found = _permute(b, "qi", _rows(b, name, plane, u8x64), index)
            result = b.insert_value(result, _tree(b, found, [eighth, *ninth]), i)
        return result

    def by_reads(b: Any, index: Any, *ninth: Any) -> Any:
        base = table_address(b, name, I16, table)
        words = ir.VectorType(I16, 64)
        wide = b.zext(index, words)
        for bit in ninth:
            high = ir.Constant(words, [ir.Constant(I16, 256)] * 64)
            wide = b.or_(wide, b.select(bit, high, ir.Constant(words, None)))
        pairs = ir.Constant(words, ir.Undefined)
        for i in range(64):
            pairs = b.insert_element(pairs, _entry(b, base, wide, i, I16), ir.Constant(I32, i))
        eight = ir.Constant(words, [ir.Constant(I16, 8)] * 64)
        result = ir.Constant(two_planes.ir, ir.Undefined)
        result = b.insert_value(result, b.trunc(pairs, u8x64.ir), 0)
        return b.insert_value(result, b.trunc(b.lshr(pairs, eight), u8x64.ir), 1)

    arguments = [u8x64] if len(table) == 256 else [u8x64, mask64]
    return emit(two_planes, *arguments)(by_permutes if current().name == "avx512" else by_reads)


def look_up_octets(name: str, table: Sequence[int], slots: Sequence[int]) -> Any:
    """An operation (index u8x64): the entries of eight bytes for 32 indices of 16 bits.

    Read one by one from a table in memory: for 2048 entries no slower than permutes, which
    would have to read the whole table for each step.

    Args:
        name: of the table, for the object code.
        table: numbers of 64 bits; an index must lie within.
        slots: eight bytes i of the result (i = 0..31) come from index slots[i].
    """

    def build(b: Any, index: Any) -> Any:
        base = table_address(b, name, I64, table)
        quads = b.bitcast(index, ir.VectorType(I64, 8))
        places = [b.extract_element(quads, ir.Constant(I32, i)) for i in range(8)]
        pairs = [_two_entries(b, base, places, slots[i : i + 2]) for i in range(0, 32, 2)]
        result = ir.Constant(four_vectors.ir, ir.Undefined)
        for v in range(4):
            octets = b.bitcast(joined(b, pairs[4 * v : 4 * v + 4]), u8x64.ir)
            result = b.insert_value(result, octets, v)
        return result

    return emit(four_vectors, u8x64)(build)


def _two_entries(
    b: Any, base: ir.Value, places: Sequence[ir.Value], slots: Sequence[int]
) -> ir.Value:
    """Two entries side by side; `places` holds four indices in each 64 bits.

    As doubles: so LLVM reads and inserts the second with one instruction.
    """
    pair = ir.Constant(ir.VectorType(F64, 2), ir.Undefined)
    for lane, slot in enumerate(slots):
        place = b.lshr(places[slot // 4], ir.Constant(I64, 16 * (slot % 4)))
        place = b.and_(place, ir.Constant(I64, 0xFFFF))
        entry = load(b, b.add(base, b.shl(place, ir.Constant(I64, 3))), F64, 8)
        pair = b.insert_element(pair, entry, ir.Constant(I32, lane))
    return pair


def ramp(first: float, step: float, bits: int) -> Any:
    """An operation (u8x64): first + step * n as floats, n the lowest `bits` (<= 4) of each dword.

    With a permute of floats one instruction takes the bits and finds the number.
    """

    def by_permute(b: Any, v: Any) -> Any:
        values = [first + step * (i % (1 << bits)) for i in range(16)]
        table = f32x16.constant(values)
        return call(b, "llvm.x86.avx512.permvar.sf.512", f32x16.ir, table, b.bitcast(v, i32x16.ir))

    def by_arithmetic(b: Any, v: Any) -> Any:
        mask = i32x16.constant([(1 << bits) - 1] * 16)
        number = b.sitofp(b.and_(b.bitcast(v, i32x16.ir), mask), f32x16.ir)
        scaled = b.fmul(number, f32x16.constant([step] * 16))
        return b.fadd(scaled, f32x16.constant([first] * 16))

    return emit(f32x16, u8x64)(by_permute if current().name == "avx512" else by_arithmetic)


def load_widened(count: int, bits: int, wide: int) -> Any:
    """An operation (address): `count` integers of `bits`, zero-extended to `wide` bits each."""

    def build(b: Any, p: Any) -> Any:
        narrow = load(b, p, ir.VectorType(ir.IntType(bits), count))
        return b.bitcast(b.zext(narrow, ir.VectorType(ir.IntType(wide), count)), u8x64.ir)

    return emit(u8x64, types.intp)(build)
