"""Tiles: operations on a column of accumulators, unrolled when the kernel is compiled.

A loop over columns in Python would leave the choice of unrolling (and so of registers) to LLVM;
here every column is written out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from zigllm_cli.simd.emit import emit, emit_for, load, shuffle, store
from zigllm_cli.simd.vector import I64, Tile, Vec


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
