"""Lanes moved, bits taken out of bytes, bytes looked up: against NumPy's indexing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zigllm_cli.simd import bits, shuffle
from zigllm_cli.simd.lookup import lookup16
from zigllm_cli.simd.vector import f32x8, f32x16, i8x64, u8x16, u8x32, u8x64

Array = np.ndarray[Any, np.dtype[Any]]
Apply = Callable[..., Array]


@pytest.fixture
def bytes_(rng: np.random.Generator) -> Callable[..., Array]:
    """bytes_(lanes): some vectors of random bytes."""
    return lambda lanes=64: rng.integers(0, 256, (6, lanes), np.uint8)


def test_permute(apply: Apply, bytes_: Any, rng: np.random.Generator) -> None:
    v = bytes_()
    lanes = rng.integers(0, 64, 64).tolist()
    assert np.array_equal(apply(shuffle.permute(u8x64, lanes), u8x64, v), v[:, lanes])
    assert np.array_equal(
        apply(shuffle.permute(u8x64, lanes[:16], u8x16), u8x16, v), v[:, lanes[:16]]
    )
    x = rng.standard_normal((3, 8)).astype(np.float32)
    twice = [lane // 2 for lane in range(16)]
    assert np.array_equal(apply(shuffle.permute(f32x8, twice, f32x16), f32x16, x), x[:, twice])


def test_blend(apply: Apply, bytes_: Any, rng: np.random.Generator) -> None:
    v, w = bytes_(), bytes_()
    lanes = rng.integers(0, 128, 64).tolist()
    both = np.hstack([v, w])
    assert np.array_equal(apply(shuffle.blend(u8x64, lanes), u8x64, v, w), both[:, lanes])
    signed = apply(shuffle.blend(i8x64, lanes), i8x64, v.view(np.int8), w.view(np.int8))
    assert np.array_equal(signed.view(np.uint8), both[:, lanes])


def test_concatenation(apply: Apply, bytes_: Any, rng: np.random.Generator) -> None:
    for operation, result, size in [
        (shuffle.concat_u8x32, u8x32, 16),
        (shuffle.concat_u8x64, u8x64, 32),
    ]:
        v, w = bytes_(size), bytes_(size)
        assert np.array_equal(apply(operation, result, v, w), np.hstack([v, w]))
    x, y = rng.standard_normal((2, 3, 8)).astype(np.float32)
    assert np.array_equal(apply(shuffle.concat_f32x16, f32x16, x, y), np.hstack([x, y]))


@pytest.mark.parametrize(
    ("operation", "size", "start"),
    [
        (shuffle.interleave_low_4, 4, 0),
        (shuffle.interleave_high_4, 4, 8),
        (shuffle.interleave_low_8, 8, 0),
        (shuffle.interleave_high_8, 8, 8),
    ],
)
def test_interleaving(apply: Apply, bytes_: Any, operation: Any, size: int, start: int) -> None:
    """Pieces of both in turn, within every 16 bytes."""
    v, w = bytes_(), bytes_()
    pieces = [
        x.reshape(-1, 4, 16)[:, :, start : start + 8].reshape(-1, 4, 8 // size, 1, size)
        for x in (v, w)
    ]
    expected = np.concatenate(pieces, axis=3).reshape(-1, 64)
    assert np.array_equal(apply(operation, u8x64, v, w), expected)


def windows(data: Array, starts: Array) -> Array:
    """Eight bits from bit starts[i] (modulo 64) of each byte's 64-bit part, turning round."""
    parts = data.view(np.uint64)[:, np.arange(data.shape[1]) // 8]
    down = starts.astype(np.uint64) % 64
    up = (64 - down) % 64
    return (parts >> down | parts << up).astype(np.uint8)


@pytest.mark.parametrize("lanes", [16, 64])
def test_bit_windows(apply: Apply, bytes_: Any, rng: np.random.Generator, lanes: int) -> None:
    make, vec = {16: (bits.bit_windows_u8x16, u8x16), 64: (bits.bit_windows, u8x64)}[lanes]
    data = bytes_(lanes)
    for starts in (np.arange(lanes) % 64, 63 - np.arange(lanes) % 64, rng.integers(0, 64, lanes)):
        assert np.array_equal(apply(make(starts.tolist()), vec, data), windows(data, starts))


def test_shifts_and_turns_of_four_bytes(
    apply: Apply, bytes_: Any, rng: np.random.Generator
) -> None:
    v = bytes_()
    quads = v.view(np.uint32)
    counts = rng.permutation(np.repeat([0, 1, 4, 31], 4)).astype(np.uint32)
    got = apply(bits.shift_right_quads(counts.tolist()), u8x64, v)
    assert np.array_equal(got.view(np.uint32), quads >> counts)
    turns = np.arange(-31, 32, 4)
    left = (turns % 32).astype(np.uint32)
    got = apply(bits.rotate_quads(turns.tolist()), u8x64, v)
    assert np.array_equal(got.view(np.uint32), quads << left | quads >> (32 - left) % 32)
    v = bytes_(16)
    got = apply(bits.shift_right_quads_u8x16([0, 4, 2, 31]), u8x16, v)
    shifts = np.array([0, 4, 2, 31], np.uint32)
    assert np.array_equal(got.view(np.uint32), v.view(np.uint32) >> shifts)


@pytest.mark.parametrize("target", [0, 1, 4, 7])
def test_single_bits(apply: Apply, bytes_: Any, target: int) -> None:
    v, sources = bytes_(), [(5 * lane) % 8 for lane in range(16)]
    expected = (v >> np.repeat(sources, 4).astype(np.uint8) & 1) << target
    assert np.array_equal(apply(bits.single_bits(sources, target), u8x64, v), expected)


def test_table_of_sixteen(apply: Apply, bytes_: Any, rng: np.random.Generator) -> None:
    """The upper half of an index is ignored, also where a byte shuffle would make zeros of it."""
    table = rng.integers(0, 256, 16)
    index = bytes_()
    index[:4] = np.arange(256).reshape(4, 64)
    assert np.array_equal(apply(lookup16(table.tolist()), u8x64, index), table[index & 15])
