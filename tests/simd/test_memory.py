"""Loads and stores: the right bytes, and not one more (behind all memory here a fault waits)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from zigllm_cli.simd import memory as ops
from zigllm_cli.simd import vector
from zigllm_cli.simd.codebook import load_widened
from zigllm_cli.simd.vector import Vec, f32x16, i32x16, mask64, u8x16, u8x64, u16x16
from zigllm_cli.simd.wait import pause

Array = np.ndarray[Any, np.dtype[Any]]
Apply = Callable[..., Array]
InMemory = Callable[..., Any]
Rows = Callable[[int], Array]

LOADERS = [
    name
    for name in vars(ops)
    if name.startswith("load_") and name[5:] in vars(vector) and name != "load_mask64"
]


@pytest.fixture
def some(rng: np.random.Generator) -> Rows:
    """some(n): three rows of n random bytes behind one more, so that addresses are unaligned."""
    return lambda n: rng.integers(0, 256, (3, n + 1), np.uint8)


def half(rows: Array) -> Array:
    """Pairs of bytes as half floats, widened; no NaN, whose bits may change."""
    return np.ascontiguousarray(rows).view(np.float16).astype(np.float32)


def test_every_loader_is_tried() -> None:
    assert {"load_u8x16", "load_i8x64", "load_u16x32", "load_u32x16", "load_f32x16"} < set(LOADERS)


@pytest.mark.parametrize("name", LOADERS)
def test_vectors(apply: Apply, memory: InMemory, some: Rows, name: str) -> None:
    vec = getattr(vector, name.removeprefix("load_"))
    rows = some(vec.lanes * int(vec.element[1:]) // 8)
    got = apply(getattr(ops, name), vec, memory(rows, skip=1))
    assert got.tobytes() == rows[:, 1:].tobytes()


@pytest.mark.parametrize(
    ("load", "kind"),
    [
        (ops.load_i64, np.int64), (ops.load_i32, np.int32), (ops.load_u32, np.uint32),
        (ops.load_u16, np.uint16), (ops.load_u8, np.uint8), (ops.load_i8, np.int8),
    ],
)  # fmt: skip
def test_integers(
    apply: Apply, memory: InMemory, load: Any, kind: Any, rng: np.random.Generator
) -> None:
    limits = np.iinfo(kind)
    n = rng.integers(limits.min, limits.max, (20, 1), kind, endpoint=True)
    n[:2] = [[limits.min], [limits.max]]
    got = apply(load, np.int64, memory(n))
    assert np.array_equal(got, n.astype(np.int64))


def test_floats(apply: Apply, memory: InMemory, rng: np.random.Generator) -> None:
    x = rng.standard_normal((9, 1))
    single = x.astype(np.float32)
    assert np.array_equal(apply(ops.load_f32, np.float32, memory(single)), single)
    narrow = njit(forceinline=True)(lambda p: np.float32(ops.load_f64(p)))
    assert np.array_equal(apply(narrow, np.float32, memory(x)), single)
    bits = x.astype(np.float16)
    assert np.array_equal(apply(ops.load_f16, np.float32, memory(bits)), half(bits))


@pytest.mark.parametrize(
    ("store", "kind"),
    [
        (ops.store_i64, np.int64), (ops.store_i32, np.int32), (ops.store_u16, np.uint16),
        (ops.store_u8, np.uint8),
    ],
)  # fmt: skip
def test_store_integers(apply: Apply, memory: InMemory, store: Any, kind: Any) -> None:
    """The low bits, and not the neighbour's."""
    n = np.array([-1, 0, 2**62 + 12345, -(2**63), 255, 256])
    out = memory(np.full((len(n), 2), 77, kind), skip=1)
    apply(store, None, out, n)
    assert np.array_equal(out.whole[:, 0], np.full(len(n), 77))
    assert np.array_equal(out.rows[:, 0], n.astype(kind))


def test_store_floats_and_vectors(apply: Apply, memory: InMemory, rng: np.random.Generator) -> None:
    x = rng.standard_normal(5).astype(np.float32)
    out = memory(np.zeros((5, 1), np.float32))
    apply(ops.store_f32, None, out, x)
    assert np.array_equal(out.rows[:, 0], x)
    bytes_ = rng.integers(0, 256, (5, 64), np.uint8)
    out = memory(np.zeros((5, 65), np.uint8), skip=1)
    apply(ops.store_vec, None, out, bytes_)
    assert np.array_equal(out.rows, bytes_)


def test_repeated(apply: Apply, memory: InMemory, some: Rows) -> None:
    for load, vec, size in [
        (ops.load_u8x32_twice, u8x64, 32),
        (ops.load_u8x16_four_times, u8x64, 16),
        (ops.load_u8x8_eight_times, u8x64, 8),
        (ops.load_u8x8_twice, u8x16, 8),
        (ops.broadcast_i32x16, i32x16, 4),
        (ops.broadcast_f32x16, f32x16, 4),
    ]:
        rows = some(size)
        got = apply(load, vec, memory(rows, skip=1))
        assert got.tobytes() == np.tile(rows[:, 1:], 64 // size)[:, : got.nbytes // 3].tobytes()
    halves = np.array([[1.5], [-(2.0**-20)], [np.inf]], np.float16)
    got = apply(ops.broadcast_f16, f32x16, memory(halves))
    assert np.array_equal(got, np.repeat(half(halves), 16, axis=1))


def test_mask_from_bits(apply: Apply, memory: InMemory, some: Rows) -> None:
    rows = some(8)
    got = apply(ops.load_mask64, mask64, memory(rows, skip=1))
    assert np.array_equal(got, np.unpackbits(rows[:, 1:], axis=1, bitorder="little"))


@pytest.mark.parametrize(("parts", "stride"), [(4, 18), (2, 34), (8, 24), (4, 16)])
def test_pieces(apply: Apply, memory: InMemory, some: Rows, parts: int, stride: int) -> None:
    piece = 64 // parts
    rows = some(stride * (parts - 1) + piece)
    got = apply(ops.strided(u8x64, parts, stride), u8x64, memory(rows, skip=1))
    starts = range(1, 1 + parts * stride, stride)
    assert np.array_equal(got, np.hstack([rows[:, s : s + piece] for s in starts]))


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_scattered_scales(
    apply: Apply, memory: InMemory, rng: np.random.Generator, count: int
) -> None:
    rows = rng.integers(0, 0x7C, (3, 18 * (count - 1) + 2), np.uint8)
    places = np.arange(16) * count // 16 * 18
    each = half(np.stack([rows[:, places], rows[:, places + 1]], axis=-1))[..., 0]
    got = apply(ops.strided_f16(count, 18), f32x16, memory(rows))
    assert np.array_equal(got, each)
    rows = rows[:, : 18 * (count - 1) + 1]
    got = apply(ops.strided_u8(count, 18), i32x16, memory(rows))
    assert np.array_equal(got, rows[:, places])


def test_two_scales(apply: Apply, memory: InMemory) -> None:
    rows = np.array([[1.5, -3], [0, 65504]], np.float16)
    got = apply(ops.pair_of_f16(8), f32x16, memory(rows))
    assert np.array_equal(got, np.repeat(half(rows), 8, axis=1))
    got = apply(ops.pair_of_f16(3), f32x16, memory(rows))
    assert np.array_equal(got, np.repeat(half(rows), [3, 13], axis=1))


@pytest.mark.parametrize("vec", [f32x16, u16x16, u8x64], ids=str)
def test_first_lanes_only(
    apply: Apply, memory: InMemory, rng: np.random.Generator, vec: Vec
) -> None:
    """Of every count, flush with the end of the page; then stores of ever fewer lanes."""
    kind = np.dtype(f"{vec.element[0]}{int(vec.element[1:]) // 8}")
    counts = np.arange(vec.lanes, -1, -1)
    inside = memory(np.arange(1, vec.lanes + 9).astype(kind)[None])
    before = inside.rows[0].copy()
    addresses = inside.rows.ctypes.data + inside.rows.nbytes - counts * kind.itemsize
    got = apply(ops.masked_loader(vec), vec, addresses, counts)
    for count, row in zip(counts, got, strict=True):
        assert np.array_equal(row[:count], before[len(before) - count :])
        assert not row[count:].any()
    values = rng.integers(1, 100, (len(counts), vec.lanes)).astype(kind)
    apply(ops.masked_storer(vec), None, addresses, values, counts)
    assert np.array_equal(inside.rows[0, :8], before[:8])
    assert np.array_equal(inside.rows[0, 8:], values[:-1, 0])  # the last store of each is its first


def test_stack_room(apply: Apply) -> None:
    """Aligned, and two rooms are two."""
    first, second = ops.stack_room(100), ops.stack_room(64)

    @njit(forceinline=True)
    def distance() -> int:
        a, b = first(), second()
        ops.store_i64(a, 1)
        ops.store_i64(a + 92, 1)
        ops.store_i64(b, 2)
        ops.store_i64(b + 56, 2)
        if a % 64 or b % 64 or ops.load_i64(a) != 1 or ops.load_i64(a + 92) != 1:
            return 0
        return a - b

    assert abs(int(apply(distance, np.int64)[0, 0])) >= 64


def test_prefetch_of_anything(apply: Apply) -> None:
    apply(ops.prefetch, None, np.array([0, 1, -1, 2**46 + 3]))


def test_opaque_and_pause(apply: Apply) -> None:
    n = np.array([0, -1, 2**62])
    assert np.array_equal(apply(ops.opaque, np.int64, n)[:, 0], n)
    apply(pause, None)


def test_counters(apply: Apply, memory: InMemory) -> None:
    n = np.array([[5], [-1], [2**62]])
    counter = memory(n)
    added = np.array([7, 1, -(2**62)])
    assert np.array_equal(apply(ops.atomic_add, np.int64, counter, added), n)
    assert np.array_equal(counter.rows[:, 0], [12, 0, 0])
    apply(ops.atomic_store, None, counter, added)
    assert np.array_equal(apply(ops.atomic_load, np.int64, counter)[:, 0], added)


@pytest.mark.parametrize(("count", "bits", "wide"), [(8, 8, 64), (8, 32, 64), (16, 16, 32)])
def test_widened(
    apply: Apply, memory: InMemory, some: Rows, count: int, bits: int, wide: int
) -> None:
    rows = some(count * bits // 8)
    got = apply(load_widened(count, bits, wide), u8x64, memory(rows, skip=1))
    narrow = np.ascontiguousarray(rows[:, 1:]).view(f"u{bits // 8}")
    assert np.array_equal(got.view(f"u{wide // 8}"), narrow)
