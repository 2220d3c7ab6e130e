"""How an operation is tried: on arrays of cases, in memory that ends where a page ends."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numba import njit

from zigllm_cli.simd.memory import (
    load_f32,
    load_f64,
    load_i64,
    loader,
    store_f32,
    store_i64,
    store_vec,
)
from zigllm_cli.simd.tile import tile_load, tile_store
from zigllm_cli.simd.vector import Tile, Vec

Array = np.ndarray[Any, np.dtype[Any]]

NOTHING = 0
"""mprotect's PROT_NONE."""

SCALARS: dict[Any, Any] = {np.float32: load_f32, np.float64: load_f64, np.int64: load_i64}


def fenced(shape: tuple[int, ...], kind: Any) -> Array:
    """An array whose last byte is a page's last, with a page behind it that cannot be touched."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    area = np.frombuffer(mmap.mmap(-1, pages + mmap.PAGESIZE), np.uint8)
    fence = ctypes.c_void_p(area.ctypes.data + pages)
    assert ctypes.CDLL(None).mprotect(fence, ctypes.c_size_t(mmap.PAGESIZE), NOTHING) == 0
    return area[pages - size : pages].view(kind).reshape(shape)


@dataclass(frozen=True)
class Memory:
    """Rows that an operation gets the addresses of, and the array that they are parts of."""

    rows: Array
    whole: Array


@pytest.fixture(scope="session")
def memory() -> Callable[[Array], Memory]:
    """memory(rows): an argument of `apply`. The last row ends where a page ends.

    `skip` elements of every row stand before the address that is handed over.
    """

    def inside(rows: Array, skip: int = 0) -> Memory:
        copy = fenced(rows.shape, rows.dtype)
        copy[...] = rows
        return Memory(copy[:, skip:], copy)

    return inside


def _element(vec: Vec) -> np.dtype[Any]:
    """What NumPy calls a lane."""
    if vec.element == "m":
        return np.dtype(np.bool_)
    letter = vec.element[0]
    return np.dtype(f"{letter}{int(vec.element[1:]) // 8}")


def _vec(array: Array) -> Vec:
    """The vector type of the last axis."""
    if array.dtype == np.bool_:
        return Vec("m", array.shape[-1])
    return Vec(f"{array.dtype.kind}{8 * array.dtype.itemsize}", array.shape[-1])


@njit(forceinline=True)
def _same(p: int) -> int:
    return p


def _argument(value: Array | Memory) -> tuple[Any, Array, int]:
    """(how to get it from an address, the array, bytes from case to case)."""
    if isinstance(value, Memory):
        return _same, value.rows, value.rows.strides[0]
    if value.ndim == 1:
        return SCALARS[value.dtype.type], value, value.itemsize
    if value.dtype == np.bool_:
        packed = np.packbits(value, axis=-1, bitorder="little")
        return loader(_vec(value)), packed, packed[0].nbytes
    if value.ndim == 2:
        return loader(_vec(value)), np.ascontiguousarray(value), value[0].nbytes
    load_columns = tile_load(_vec(value), value.shape[1])

    @njit(forceinline=True)
    def load_tile(p: int) -> Any:
        return load_columns(p, 64)

    return load_tile, np.ascontiguousarray(value), value[0].nbytes


@njit(forceinline=True)
def _store_tile(p: int, tile: Any) -> None:
    tile_store(p, 64, tile)


def _result(kind: Any, count: int) -> tuple[str, Any, Array]:
    """(how a result is taken, what stores it, where)."""
    if kind is None:
        return "{}", None, np.zeros((count, 1), np.uint8)
    if isinstance(kind, Tile):
        shape = (count, kind.columns, kind.vec.lanes)
        return "put(out, {})", _store_tile, np.zeros(shape, _element(kind.vec))
    if isinstance(kind, Vec):
        if kind.element == "m":
            return "put(out, {})", store_vec, np.zeros((count, kind.lanes // 8), np.uint8)
        return "put(out, {})", store_vec, np.zeros((count, kind.lanes), _element(kind))
    store = {np.float32: store_f32, np.int64: store_i64}[kind]
    return "put(out, {})", store, np.zeros((count, 1), kind)


@pytest.fixture(scope="session")
def apply() -> Callable[..., Array]:
    """apply(operation, result, *arguments): the results of an operation, case by case.

    Args:
        operation: of `zigllm_cli.simd`.
        result: a `Vec`, a `Tile`, `np.float32`, `np.int64`, or None where there is none.
        arguments: an array [n] of scalars, [n, lanes] of vectors, [n, columns, lanes] of tiles,
            or `memory(rows)`.
    """

    def run(operation: Any, result: Any, *arguments: Array | Memory) -> Array:
        cases = [_argument(value) for value in arguments]
        count = len(cases[0][1]) if cases else 1
        statement, put, out = _result(result, count)
        calls = [f"get{k}(a{k} + i * {step})" for k, (_, _, step) in enumerate(cases)]
        names = "".join(f", a{k}" for k in range(len(cases)))
        source = f"def loop(count, out{names}):\n    for i in range(count):\n        "
        source += statement.format(f"operation({', '.join(calls)})")
        source += f"\n        out += {out[0].nbytes}\n"
        space = {"operation": operation, "put": put}
        space |= {f"get{k}": get for k, (get, _, _) in enumerate(cases)}
        exec(source, space)
        signature = f"void({', '.join(['int64'] * (2 + len(cases)))})"
        loop = njit(signature, error_model="numpy")(space["loop"])
        loop(count, out.ctypes.data, *(array.ctypes.data for _, array, _ in cases))
        if isinstance(result, Vec) and result.element == "m":
            return np.unpackbits(out, axis=-1, bitorder="little").astype(bool)
        return out

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(17)


SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38,
     3.4028235e38, -3.4028235e38, 16777217.0, 0.5, -0.5],
    np.float32,
)  # fmt: skip
"""Zeros, infinities, no number, the ends of the subnormal and the normal numbers."""


@pytest.fixture
def floats(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two arrays [n, 16] in which every pair of special values meets, and ordinary ones."""
    x, y = np.repeat(SPECIAL, 16).reshape(16, 16), np.tile(SPECIAL, (16, 1))
    more = rng.standard_normal((2, 16, 16)).astype(np.float32) * 100
    return np.concatenate([x, more[0]]), np.concatenate([y, more[1]])
