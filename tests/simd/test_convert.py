"""Conversions against NumPy, over every half and brain float and what lies between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zigllm_cli.simd import convert as ops
from zigllm_cli.simd.vector import (
    f32x4,
    f32x8,
    f32x16,
    i8x16,
    i8x64,
    i32x16,
    u8x16,
    u8x64,
    u16x16,
    u32x16,
)

Array = np.ndarray[Any, np.dtype[Any]]
Apply = Callable[..., Array]
InMemory = Callable[[Array], Any]

CODES = np.arange(1 << 16, dtype=np.uint16)
HALVES = CODES.view(np.float16).astype(np.float32)
BRAINS = (CODES.astype(np.uint32) << 16).view(np.float32)


def same(got: Array, expected: Array) -> bool:
    """Whether floats have the same bits; any NaN is as good as another."""
    got, expected = got.reshape(-1), expected.reshape(-1)
    numbers = ~np.isnan(expected)
    return bool(
        np.array_equal(np.isnan(got), ~numbers)
        and np.array_equal(got[numbers].view(np.uint32), expected[numbers].view(np.uint32))
    )


def neighbourhood(values: Array) -> Array:
    """The finite ones of float32 values, the middles between neighbours, and what is next to all.

    A multiple of 16 in number, by rows of 16.
    """
    finite = np.unique(values[np.isfinite(values)]).astype(np.float64)
    with np.errstate(over="ignore"):
        middles = ((finite[1:] + finite[:-1]) / 2).astype(np.float32)
        points = np.concatenate([finite.astype(np.float32), middles])
        points = np.concatenate(
            [np.nextafter(points, np.float32(end)) for end in (-np.inf, np.inf)] + [points]
        )
    points = np.concatenate([points, [0.0, -0.0, np.inf, -np.inf, np.nan]])
    return np.resize(points, -(-len(points) // 16) * 16).astype(np.float32).reshape(-1, 16)


def to_half(x: Array) -> Array:
    """NumPy's conversion, which rounds to nearest even."""
    with np.errstate(over="ignore", under="ignore"):
        return x.astype(np.float16)


def to_brain(x: Array) -> Array:
    """The nearest of the two brain floats around each value, of equally near ones the even one."""
    bits = x.view(np.uint32)
    low = (bits >> 16).astype(np.uint32)
    towards, away = (low << 16).view(np.float32), ((low + 1) << 16).view(np.float32)
    towards, away = towards.astype(np.float64), away.astype(np.float64)
    away[np.isinf(away)] = np.copysign(2.0**128, away[np.isinf(away)])
    with np.errstate(invalid="ignore"):
        left, right = np.abs(x - towards), np.abs(away - x)
    upper = (right < left) | ((right == left) & (low & 1 == 1))
    code = (low + upper).astype(np.uint16)
    infinite = np.isinf(x)
    code[infinite] = low[infinite]
    return code


@pytest.fixture(autouse=True)
def silence() -> Any:
    """NumPy reports what we mean to do."""
    with np.errstate(all="ignore"):
        yield


def test_every_half_float(apply: Apply) -> None:
    assert same(apply(ops.f16_to_f32, f32x16, CODES.reshape(-1, 16)), HALVES)


def test_every_brain_float(apply: Apply) -> None:
    assert same(apply(ops.bf16_to_f32, f32x16, CODES.reshape(-1, 16)), BRAINS)


def test_to_half_floats(apply: Apply) -> None:
    x = neighbourhood(HALVES)
    got = apply(ops.f32_to_f16, u16x16, x).view(np.float16)
    assert same(got.astype(np.float32), to_half(x).astype(np.float32))


def test_half_floats_and_back(apply: Apply) -> None:
    codes = CODES[~np.isnan(HALVES)].reshape(-1, 2)[:, :1].repeat(16, axis=1)
    floats = codes.view(np.float16).astype(np.float32)
    assert np.array_equal(apply(ops.f32_to_f16, u16x16, floats), codes)


def test_to_brain_floats(apply: Apply) -> None:
    x = neighbourhood(BRAINS)
    got = apply(ops.f32_to_bf16, u16x16, x)
    nan = np.isnan(x)
    assert np.array_equal(got[~nan], to_brain(x)[~nan])
    assert np.isnan((got[nan].astype(np.uint32) << 16).view(np.float32)).all()


def test_nans_stay_nans(apply: Apply) -> None:
    """Also those whose mantissa is all in the bits that are dropped."""
    bits = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF, 0x7F80FFFF] * 4, np.uint32)
    x = bits.view(np.float32).reshape(1, 16)
    brains = apply(ops.f32_to_bf16, u16x16, x)
    assert np.isnan((brains.astype(np.uint32) << 16).view(np.float32)).all()
    assert np.isnan(apply(ops.f32_to_f16, u16x16, x).view(np.float16)).all()


def test_single_half_floats(apply: Apply, memory: InMemory) -> None:
    x = neighbourhood(HALVES).reshape(-1)[::61].copy()
    out = memory(np.zeros((len(x), 1), np.uint16))
    apply(ops.store_f16, None, out, x)
    assert same(out.rows.view(np.float16).astype(np.float32), to_half(x).astype(np.float32))
    codes = CODES[::61].astype(np.int64)
    everywhere = apply(ops.f16_bits_everywhere, f32x16, codes)
    assert same(everywhere, HALVES[::61].repeat(16))
    rows = memory(CODES.reshape(-1, 16)[::7])
    assert same(apply(ops.load_f16x16, f32x16, rows), HALVES.reshape(-1, 16)[::7])


def test_half_floats_out_of_bytes(apply: Apply, rng: np.random.Generator) -> None:
    v = rng.integers(0, 256, (8, 64), np.uint8)
    places = rng.integers(0, 32, 16).tolist()
    expected = v.view(np.float16)[:, places].astype(np.float32)
    assert same(apply(ops.f16_lanes(u8x64, places), f32x16, v), expected)
    short = np.ascontiguousarray(v[:, :16])
    places = [lane // 2 for lane in range(16)]
    expected = short.view(np.float16)[:, places].astype(np.float32)
    assert same(apply(ops.f16_lanes(u8x16, places), f32x16, short), expected)


@pytest.mark.parametrize(
    ("kind", "lanes", "result"),
    [
        (np.int8, 16, f32x16), (np.uint8, 16, f32x16), (np.uint16, 16, f32x16),
        (np.uint16, 8, f32x8), (np.int32, 16, f32x16), (np.uint32, 16, f32x16),
        (np.int32, 8, f32x8), (np.int32, 4, f32x4),
    ],
)  # fmt: skip
def test_integers_to_floats(
    apply: Apply, rng: np.random.Generator, kind: Any, lanes: int, result: Any
) -> None:
    limits = np.iinfo(kind)
    x = rng.integers(limits.min, limits.max, (32, lanes), kind, endpoint=True)
    x[0], x[1], x[2] = limits.min, limits.max, limits.max - 63  # 2^31 - 64 lies between floats
    assert same(apply(ops.to_f32, result, x), x.astype(np.float32))


def test_round_to_i32(apply: Apply) -> None:
    """Ties to even, as activations are rounded."""
    x = np.arange(-8, 8, 0.5, dtype=np.float32)
    x = np.concatenate([x, x * 7 + 0.25, [8388607.5, -8388607.5, 2.0**30, -(2.0**31)] * 4, -x / 9])
    x = np.append(x, np.nextafter(np.float32(0.5), np.float32([0, 1] * 8))).astype(np.float32)
    x = x.reshape(-1, 16)
    assert np.array_equal(apply(ops.round_to_i32, i32x16, x), np.rint(x).astype(np.int32))


def test_narrow_and_widen(apply: Apply, rng: np.random.Generator) -> None:
    n = rng.integers(-(2**31), 2**31, (8, 16)).astype(np.int32)
    small = n.astype(np.int8)
    assert np.array_equal(apply(ops.narrow_i8, i8x16, n), small)
    assert np.array_equal(apply(ops.widen_i8, i32x16, small), small.astype(np.int32))
    unsigned, words = small.view(np.uint8), n.astype(np.uint16)
    assert np.array_equal(apply(ops.widen_u8, i32x16, unsigned), unsigned.astype(np.int32))
    assert np.array_equal(apply(ops.widen_u16, i32x16, words), words.astype(np.int32))


def test_bits_read_as_another_type(apply: Apply, rng: np.random.Generator) -> None:
    bytes_ = rng.integers(0, 256, (8, 64), np.uint8)
    n = bytes_.view(np.int32)
    assert np.array_equal(apply(ops.as_signed, i8x64, bytes_), bytes_.view(np.int8))
    assert np.array_equal(apply(ops.as_unsigned, u8x64, bytes_.view(np.int8)), bytes_)
    assert np.array_equal(apply(ops.as_i32x16, i32x16, bytes_), n)
    assert np.array_equal(apply(ops.as_u8x64, u8x64, n), bytes_)
    assert np.array_equal(apply(ops.as_u32x16, u32x16, n), n.view(np.uint32))
    assert np.array_equal(apply(ops.bits_to_f32, f32x16, n).view(np.int32), n)
    assert np.array_equal(apply(ops.bits_of_f32, i32x16, n.view(np.float32)), n)


def test_microscaling_exponents(apply: Apply) -> None:
    """Half of what the type says: 2^(e - 128), of which the two smallest are subnormal."""
    e = np.arange(256, dtype=np.int32).reshape(16, 16)
    assert same(apply(ops.half_of_e8m0, f32x16, e), np.ldexp(1.0, e - 128).astype(np.float32))


def test_eight_bit_scales(apply: Apply) -> None:
    """Half of a float of 4 bits exponent (bias 7) and 3 bits mantissa."""
    code = np.arange(128, dtype=np.int32).reshape(8, 16)
    exponent, mantissa = code >> 3, code & 7
    normal = np.ldexp(1 + mantissa / 8, exponent - 7)
    value = np.where(exponent == 0, np.ldexp(mantissa / 8, -6), normal) / 2
    value[7, 15] = 0  # its NaN
    assert same(apply(ops.half_of_e4m3, f32x16, code), value.astype(np.float32))
