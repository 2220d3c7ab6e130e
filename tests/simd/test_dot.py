"""`dot4` and tiles against exact integers, and floats in the same order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numba import njit

from zigllm_cli.simd import tile as ops
from zigllm_cli.simd.dot import dot4
from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.tile import Tile
from zigllm_cli.simd.vector import f32x16, i32x16

Array = np.ndarray[Any, np.dtype[Any]]
Apply = Callable[..., Array]
InMemory = Callable[..., Any]

TILE = Tile(i32x16, 3)
SUMS = Tile(f32x16, 3)


def exact(acc: Array, u: Array, s: Array) -> Array:
    """Sums of four products in 64 bits, wrapped to 32."""
    products = u.astype(np.int64) * s
    sums = products.reshape(*products.shape[:-1], 16, 4).sum(axis=-1)
    return (acc + sums).astype(np.int32)


def test_dot4_where_others_saturate(apply: Apply) -> None:
    """All fours of extreme bytes: pairs of 255 * -128 do not fit in 16 bits."""
    weights = np.array(list(product([0, 127, 128, 255], repeat=4)), np.uint8).reshape(16, 64)
    x = np.array(list(product([-128, -127, 127], repeat=4)), np.int8)
    x = np.resize(x, (96, 4)).reshape(6, 64)
    u, s = (np.ascontiguousarray(v) for v in (np.repeat(weights, 6, 0), np.tile(x, (16, 1))))
    acc = np.zeros((len(u), 16), np.int32)
    assert np.array_equal(apply(dot4, i32x16, acc, u, s), exact(acc, u, s))


def test_dot4_of_random_bytes(apply: Apply, rng: np.random.Generator) -> None:
    u = rng.integers(0, 256, (200, 64), np.uint8)
    s = rng.integers(-128, 128, (200, 64)).astype(np.int8)
    acc = rng.integers(-(2**31), 2**31, (200, 16)).astype(np.int32)
    acc[0], acc[1] = 2**31 - 1, -(2**31)  # it wraps, and does not saturate
    assert np.array_equal(apply(dot4, i32x16, acc, u, s), exact(acc, u, s))


def test_tile_of_zeros_and_columns(apply: Apply, rng: np.random.Generator) -> None:
    assert not apply(ops.zero_tile(i32x16, 3), TILE).any()
    tiles = rng.integers(-(2**31), 2**31, (4, 3, 16)).astype(np.int32)
    assert np.array_equal(apply(njit(lambda t: t), TILE, tiles), tiles)
    for j in range(3):
        assert np.array_equal(apply(ops.column_of(TILE, j), i32x16, tiles), tiles[:, j])


def test_tile_in_memory(apply: Apply, memory: InMemory, rng: np.random.Generator) -> None:
    """Columns 80 bytes apart, the last one ending where the page ends."""
    rows = rng.integers(0, 256, (2, 2 * 80 + 64), np.uint8)
    places = [rows[:, 80 * j : 80 * j + 64] for j in range(3)]
    columns = np.stack(places, axis=1).view(np.int32)
    load = ops.tile_load(i32x16, 3)
    got = apply(njit(lambda p: load(p, 80)), TILE, memory(rows))
    assert np.array_equal(got, columns)
    out = memory(np.full_like(rows, 7))
    apply(njit(lambda p, t: ops.tile_store(p, 80, t)), None, out, columns)
    kept = out.rows.copy()
    for j, place in enumerate(places):
        assert np.array_equal(kept[:, 80 * j : 80 * j + 64], place)
        kept[:, 80 * j : 80 * j + 64] = 7
    assert (kept == 7).all()


def test_tile_broadcast(apply: Apply, memory: InMemory, rng: np.random.Generator) -> None:
    n = rng.integers(-(2**31), 2**31, (3, 5)).astype(np.int32)
    load = ops.tile_broadcast_i32(3)
    got = apply(njit(lambda p: load(p, 8)), TILE, memory(n))
    assert np.array_equal(got, np.repeat(n[:, [0, 2, 4], None], 16, axis=2))


def test_tile_dot4(apply: Apply, memory: InMemory, rng: np.random.Generator) -> None:
    u = rng.choice(np.array([0, 1, 127, 128, 255], np.uint8), (20, 64))
    x = rng.choice(np.array([-128, -127, 0, 3, 127], np.int8), (20, 2 * 12 + 4))
    tiles = rng.integers(-(2**30), 2**30, (20, 3, 16)).astype(np.int32)
    got = apply(njit(lambda t, w, p: ops.tile_dot4(t, w, p, 12)), TILE, tiles, u, memory(x))
    for j in range(3):
        quads = np.tile(x[:, 12 * j : 12 * j + 4], (1, 16))
        assert np.array_equal(got[:, j], exact(tiles[:, j], u, quads))


def test_tile_of_floats(apply: Apply, memory: InMemory, rng: np.random.Generator) -> None:
    """In float64 and rounded once: what a fused multiply-add gives."""
    sums = rng.standard_normal((30, 3, 16)).astype(np.float32)
    v = rng.standard_normal((30, 16)).astype(np.float32)
    x = rng.standard_normal((30, 3)).astype(np.float32)
    got = apply(njit(lambda t, w, p: ops.tile_fma(t, w, p, 4)), SUMS, sums, v, memory(x))
    each = x.astype(np.float64)[:, :, None]
    assert np.array_equal(got, (v[:, None] * each + sums).astype(np.float32))
    dots = rng.integers(-(2**24), 2**24, (30, 3, 16)).astype(np.int32)
    add = njit(lambda t, d, w, p: ops.tile_scale_add(t, d, w, p, 4))
    got = apply(add, SUMS, sums, dots, v, memory(x))
    scale = (v[:, None] * x[:, :, None]).astype(np.float64)  # a float, rounded
    assert np.array_equal(got, (dots * scale + sums).astype(np.float32))


def test_transposition(apply: Apply) -> None:
    square = Tile(i32x16, 16)

    @emit(square, square)
    def transpose(b: Any, tile: Any) -> Any:
        columns = ops.transposed(b, [b.extract_value(tile, j) for j in range(16)])
        for j, column in enumerate(columns):
            tile = b.insert_value(tile, column, j)
        return tile

    numbers = np.arange(512, dtype=np.int32).reshape(2, 16, 16)
    assert np.array_equal(apply(transpose, square, numbers), numbers.transpose(0, 2, 1))
