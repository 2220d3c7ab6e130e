"""`dot4` and tiles against exact integers, and floats in the same order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from numba import njit

from zigllm_cli.simd import tile as ops
from zigllm_cli.simd.dot import DotSum, dot4
from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.isa import is_centred
from zigllm_cli.simd.tile import Tile
from zigllm_cli.simd.vector import i8x64, i32x16, u8x64

Array = np.ndarray[Any, np.dtype[Any]]
Apply = Callable[..., Array]
InMemory = Callable[..., Any]

TILE = Tile(i32x16, 3)
BYTES, SIGNED = Tile(u8x64, 9), Tile(i8x64, 9)


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


@pytest.mark.parametrize("most", [1, 3, 15, 31, 63, 86, 127, 128, 255])
def test_sums_of_dots(apply: Apply, rng: np.random.Generator, most: int) -> None:
    """Nine dots of extreme and of random bytes, wherever they are widened on the way."""
    count = 9

    @emit(i32x16, BYTES, SIGNED, i32x16)
    def total(b: Any, us: Any, ss: Any, start: Any) -> Any:
        dots = DotSum(b, lambda: start, most)
        for i in range(count):
            dots.add(b.extract_value(us, i), b.extract_value(ss, i))
        return dots.value()

    u = rng.integers(0, most + 1, (40, count, 64)).astype(np.uint8)
    s = rng.integers(-127, 128, (40, count, 64)).astype(np.int8)
    u[:20] = rng.choice([0, most], (20, count, 64))
    s[10:30] = rng.choice([-127, 127], (20, count, 64))
    u[0], s[0], u[1], s[1] = most, 127, most, -127
    start = rng.integers(-(2**20), 2**20, (40, 16)).astype(np.int32)
    taken = u.astype(np.int64) - (128 if is_centred(most) else 0)
    expected = start + (taken * s).reshape(40, count, 16, 4).sum(axis=(1, 3))
    assert np.array_equal(apply(total, i32x16, u, s, start), expected.astype(np.int32))


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
