"""Tiles: operations on a column of accumulators, unrolled when the kernel is compiled.

A loop over columns in Python would leave the choice of unrolling (and so of registers) to LLVM;
here every column is written out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from zigllm_cli.simd.dot import build_dot4
from zigllm_cli.simd.emit import broadcast, call, emit, emit_for, load, shuffle, store
from zigllm_cli.simd.vector import F32, I32, I64, Tile, Vec, f32x16, i8x64, i32x16


def _columns(b: Any, tile: Tile, compute: Callable[[int], ir.Value]) -> ir.Value:
    value = ir.Constant(tile.ir, ir.Undefined)
    for j in range(tile.columns):
        value = b.insert_value(value, compute(j), j)
    return value


def at(b: Any, base: ir.Value, stride: ir.Value, j: int) -> ir.Value:
    """IR: base + j * stride."""
    return b.add(base, b.mul(stride, ir.Constant(I64, j)))


def zero_tile(vec: Vec, columns: int) -> Any:
    """An operation without arguments: a tile of zeros."""
    tile = Tile(vec, columns)

    def zeros(b: Any) -> Any:
        return ir.Constant(tile.ir, None)

    return emit(tile)(zeros)


def column_of(tile: Tile, j: int) -> Any:
    """An operation: column j of a tile of this type."""
    return emit(tile.vec, tile)(lambda b, t: b.extract_value(t, j))


@emit_for(Tile, Vec, types.Integer, types.Integer)
def tile_dot4(tile: Tile, weights: Vec, address: Any, stride: Any) -> Any:
    """`dot4` of every column: the same weights, four bytes of activations at address + j*stride."""

    def build(b: Any, t: Any, w: Any, p: Any, step: Any) -> Any:
        def one(j: int) -> ir.Value:
            quad = broadcast(b, load(b, at(b, p, step, j), I32), 16)
            return build_dot4(b, b.extract_value(t, j), w, b.bitcast(quad, i8x64.ir))

        return _columns(b, tile, one)

    return tile, build


def tile_broadcast_i32(columns: int) -> Any:
    """An operation (address, stride): column j is the integer at address + j*stride, repeated."""
    tile = Tile(i32x16, columns)

    def build(b: Any, p: Any, step: Any) -> Any:
        return _columns(b, tile, lambda j: broadcast(b, load(b, at(b, p, step, j), I32), 16))

    return emit(tile, types.intp, types.intp)(build)


@emit_for(Tile, Tile, Vec, types.Integer, types.Integer)
def tile_scale_add(sums: Tile, dots: Tile, scale: Vec, address: Any, stride: Any) -> Any:
    """sums + dots * scale * (the float at address + j*stride), column by column."""

    def build(b: Any, acc: Any, d: Any, rows: Any, p: Any, step: Any) -> Any:
        def one(j: int) -> ir.Value:
            both = b.fmul(rows, broadcast(b, load(b, at(b, p, step, j), F32), 16))
            real = b.sitofp(b.extract_value(d, j), f32x16.ir)
            return call(b, "llvm.fma.v16f32", f32x16.ir, real, both, b.extract_value(acc, j))

        return _columns(b, sums, one)

    return sums, build


@emit_for(Tile, Vec, types.Integer, types.Integer)
def tile_fma(sums: Tile, vector: Vec, address: Any, stride: Any) -> Any:
    """sums + vector * (the float at address + j*stride), column by column."""

    def build(b: Any, acc: Any, v: Any, p: Any, step: Any) -> Any:
        def one(j: int) -> ir.Value:
            x = broadcast(b, load(b, at(b, p, step, j), F32), 16)
            return call(b, "llvm.fma.v16f32", f32x16.ir, v, x, b.extract_value(acc, j))

        return _columns(b, sums, one)

    return sums, build


@emit_for(types.Integer, types.Integer, Tile)
def tile_store(_address: Any, _stride: Any, tile: Tile) -> Any:
    """Column j to address + j*stride."""

    def build(b: Any, p: Any, step: Any, t: Any) -> None:
        for j in range(tile.columns):
            store(b, at(b, p, step, j), b.extract_value(t, j))

    return types.void, build


def tile_load(vec: Vec, columns: int) -> Any:
    """An operation (address, stride): column j from address + j*stride."""
    tile = Tile(vec, columns)

    def build(b: Any, p: Any, step: Any) -> Any:
        return _columns(b, tile, lambda j: load(b, at(b, p, step, j), vec.ir))

    return emit(tile, types.intp, types.intp)(build)


def transposed(b: Any, rows: list[ir.Value]) -> list[ir.Value]:
    """IR: 16 vectors of 16 32-bit lanes, rows and columns exchanged, bit by bit of the indices."""
    rows = list(rows)
    for span in (1, 2, 4, 8):
        low = [lane if not lane & span else 16 + lane - span for lane in range(16)]
        high = [lane + span if not lane & span else 16 + lane for lane in range(16)]
        for i in range(16):
            if not i & span:
                x, y = rows[i], rows[i | span]
                rows[i], rows[i | span] = shuffle(b, x, y, low), shuffle(b, x, y, high)
    return rows
