"""Loads, stores, prefetches and atomics. Addresses are plain integers, unaligned unless said."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from zigllm_cli.simd.convert import half_to_float
from zigllm_cli.simd.emit import (
    broadcast,
    call,
    emit,
    emit_for,
    first_lanes_of,
    joined,
    load,
    masked_load,
    offset,
    shuffle,
    store,
)
from zigllm_cli.simd.vector import (
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    Vec,
    f32x16,
    i8x16,
    i8x64,
    i32x16,
    mask64,
    u8x16,
    u8x32,
    u8x64,
    u16x8,
    u16x16,
    u16x32,
    u32x16,
)

address = types.intp


def loader(vec: Vec) -> Any:
    """An operation that loads a vector of this type from an address."""

    def load_vector(b: Any, p: Any) -> Any:
        return load(b, p, vec.ir)

    load_vector.__name__ = f"load_{vec.name}"
    return emit(vec, address)(load_vector)


load_u8x16, load_u8x32, load_u8x64 = loader(u8x16), loader(u8x32), loader(u8x64)
load_i8x16, load_i8x64 = loader(i8x16), loader(i8x64)
load_u16x8, load_u16x16, load_u16x32 = loader(u16x8), loader(u16x16), loader(u16x32)
load_i32x16, load_u32x16, load_f32x16 = loader(i32x16), loader(u32x16), loader(f32x16)


@emit_for(types.Integer, Vec)
def store_vec(_address: Any, vec: Vec) -> Any:
    """Store a vector at an address."""
    return types.void, store


def _scalar(name: str, result: Any, kind: ir.Type, widen: Any = None) -> Any:
    def load_scalar(b: Any, p: Any) -> Any:
        value = load(b, p, kind)
        return widen(b, value) if widen else value

    load_scalar.__name__ = name
    return emit(result, address)(load_scalar)


load_i64 = _scalar("load_i64", types.int64, I64)
load_i32 = _scalar("load_i32", types.int64, I32, lambda b, v: b.sext(v, I64))
load_u32 = _scalar("load_u32", types.int64, I32, lambda b, v: b.zext(v, I64))
load_u16 = _scalar("load_u16", types.int64, I16, lambda b, v: b.zext(v, I64))
load_u8 = _scalar("load_u8", types.int64, I8, lambda b, v: b.zext(v, I64))
load_i8 = _scalar("load_i8", types.int64, I8, lambda b, v: b.sext(v, I64))
load_f32 = _scalar("load_f32", types.float32, F32)
load_f64 = _scalar("load_f64", types.float64, F64)


@emit(types.void, address, types.float32)
def store_f32(b: Any, p: Any, value: Any) -> None:
    """Store one float."""
    store(b, p, value)


@emit(types.void, address, types.float64)
def store_f64(b: Any, p: Any, value: Any) -> None:
    """Store one double."""
    store(b, p, value)


@emit(types.void, address, types.int64)
def store_i32(b: Any, p: Any, value: Any) -> None:
    """Store the low 32 bits."""
    store(b, p, b.trunc(value, I32))


@emit(types.void, address, types.int64)
def store_i64(b: Any, p: Any, value: Any) -> None:
    """Store a 64-bit integer."""
    store(b, p, value)


@emit(types.void, address, types.int64)
def store_u16(b: Any, p: Any, value: Any) -> None:
    """Store the low 16 bits."""
    store(b, p, b.trunc(value, I16))


@emit(types.void, address, types.int64)
def store_u8(b: Any, p: Any, value: Any) -> None:
    """Store the low 8 bits."""
    store(b, p, b.trunc(value, I8))


@emit(u8x64, address)
def load_u8x32_twice(b: Any, p: Any) -> Any:
    """32 bytes in both halves."""
    value = load(b, p, u8x32.ir)
    return shuffle(b, value, value, list(range(32)) * 2)


@emit(u8x64, address)
def load_u8x16_four_times(b: Any, p: Any) -> Any:
    """16 bytes in all four quarters."""
    value = load(b, p, u8x16.ir)
    return shuffle(b, value, value, list(range(16)) * 4)


@emit(u8x64, address)
def load_u8x8_eight_times(b: Any, p: Any) -> Any:
    """8 bytes in all eight eighths."""
    return b.bitcast(broadcast(b, load(b, p, I64), 8), u8x64.ir)


@emit(mask64, address)
def load_mask64(b: Any, p: Any) -> Any:
    """64 bits, the lowest of the first byte for lane 0."""
    return b.bitcast(load(b, p, I64), mask64.ir)


@emit(f32x16, address)
def broadcast_f32x16(b: Any, p: Any) -> Any:
    """One float of memory in every lane."""
    return broadcast(b, load(b, p, F32), 16)


@emit(i32x16, address)
def broadcast_i32x16(b: Any, p: Any) -> Any:
    """One 32-bit integer of memory in every lane."""
    return broadcast(b, load(b, p, I32), 16)


def strided(vec: Vec, parts: int, stride: int) -> Any:
    """An operation that loads `parts` pieces, `stride` bytes apart, into one vector."""
    piece = ir.VectorType(vec.ir.element, vec.lanes // parts)

    def load_strided(b: Any, p: Any) -> Any:
        return joined(b, [load(b, offset(b, p, stride * i), piece) for i in range(parts)])

    load_strided.__name__ = f"load_{parts}_every_{stride}_{vec.name}"
    return emit(vec, address)(load_strided)


def strided_f16(count: int, stride: int) -> Any:
    """An operation: `count` half floats, `stride` bytes apart, each in 16/count lanes, as f32."""

    def load_halves(b: Any, p: Any) -> Any:
        value = ir.Constant(ir.VectorType(I16, count), ir.Undefined)
        for i in range(count):
            half = load(b, offset(b, p, stride * i), I16)
            value = b.insert_element(value, half, ir.Constant(I32, i))
        lanes = shuffle(b, value, value, [lane * count // 16 for lane in range(16)])
        return half_to_float(b, lanes)

    return emit(f32x16, address)(load_halves)


def pair_of_f16(first: int) -> Any:
    """An operation: two half floats of memory, one in the first lanes, one in the rest, as f32."""

    def load_pair(b: Any, p: Any) -> Any:
        pair = load(b, p, ir.VectorType(I16, 2))
        return half_to_float(b, shuffle(b, pair, pair, [int(lane >= first) for lane in range(16)]))

    return emit(f32x16, address)(load_pair)


@emit(types.float32, address)
def load_f16(b: Any, p: Any) -> Any:
    """One half float, widened."""
    half = b.insert_element(
        ir.Constant(ir.VectorType(I16, 1), ir.Undefined), load(b, p, I16), ir.Constant(I32, 0)
    )
    return b.extract_element(half_to_float(b, half), ir.Constant(I32, 0))


@emit(f32x16, address)
def broadcast_f16(b: Any, p: Any) -> Any:
    """One half float of memory in every lane, widened."""
    return half_to_float(b, broadcast(b, load(b, p, I16), 16))


def masked_loader(vec: Vec) -> Any:
    """An operation (address, n): the first n lanes from memory, zeros behind, n of 0..lanes."""

    def load_first(b: Any, p: Any, count: Any) -> Any:
        return masked_load(b, p, vec.ir, first_lanes_of(b, count, vec.lanes))

    load_first.__name__ = f"load_first_{vec.name}"
    return emit(vec, address, types.int64)(load_first)


def masked_storer(vec: Vec) -> Any:
    """An operation (address, vector, n): store its first n lanes, n of 0..lanes."""

    def store_first(b: Any, p: Any, v: Any, count: Any) -> None:
        letter = f"f{vec.element[1:]}" if vec.is_float else f"i{vec.element[1:]}"
        name = f"llvm.masked.store.v{vec.lanes}{letter}.p0"
        pointer = b.inttoptr(p, vec.ir.as_pointer())
        mask = first_lanes_of(b, count, vec.lanes)
        call(b, name, ir.VoidType(), v, pointer, ir.Constant(I32, 1), mask)

    store_first.__name__ = f"store_first_{vec.name}"
    return emit(types.void, address, vec, types.int64)(store_first)


def stack_room(size: int) -> Any:
    """An operation without arguments: the address of `size` bytes on the stack, 64-aligned."""

    def room(b: Any) -> Any:
        with b.goto_entry_block():
            space = b.alloca(ir.ArrayType(I8, size))
            space.align = 64
        return b.ptrtoint(space, I64)

    return emit(types.int64)(room)


@emit(types.void, address)
def prefetch(b: Any, p: Any) -> None:
    """Ask for the cache line at an address, which need not be mapped."""
    arguments = [ir.Constant(I32, value) for value in (0, 3, 1)]
    call(b, "llvm.prefetch.p0", ir.VoidType(), b.inttoptr(p, I8.as_pointer()), *arguments)


@emit(address, address)
def opaque(b: Any, p: Any) -> Any:
    """The same address, unknown to LLVM: loads through it are not hoisted into registers.

    Above some 26 live constant vectors LLVM moves registers about rather than loading again.
    """
    return b.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [p], True)


@emit(types.int64, address, types.int64)
def atomic_add(b: Any, p: Any, value: Any) -> Any:
    """Add to a counter that threads share; returns what it was."""
    return b.atomic_rmw("add", b.inttoptr(p, I64.as_pointer()), value, "seq_cst")


@emit(types.int64, address)
def atomic_load(b: Any, p: Any) -> Any:
    """Read a counter that threads share (acquire)."""
    return b.load_atomic(b.inttoptr(p, I64.as_pointer()), "acquire", 8)


@emit(types.void, address, types.int64)
def atomic_store(b: Any, p: Any, value: Any) -> None:
    """Write a counter that threads share (release)."""
    b.store_atomic(value, b.inttoptr(p, I64.as_pointer()), "release", 8)


def strided_u8(count: int, stride: int) -> Any:
    """An operation: `count` bytes, `stride` apart, each in 16/count lanes, as 32 bits."""

    def load_bytes(b: Any, p: Any) -> Any:
        value = ir.Constant(ir.VectorType(I8, count), ir.Undefined)
        for i in range(count):
            byte = load(b, offset(b, p, stride * i), I8)
            value = b.insert_element(value, byte, ir.Constant(I32, i))
        lanes = [lane * count // 16 for lane in range(16)]
        return b.zext(shuffle(b, value, value, lanes), i32x16.ir)

    return emit(i32x16, address)(load_bytes)


@emit(u8x16, address)
def load_u8x8_twice(b: Any, p: Any) -> Any:
    """8 bytes in both halves."""
    return b.bitcast(broadcast(b, load(b, p, I64), 2), u8x16.ir)
