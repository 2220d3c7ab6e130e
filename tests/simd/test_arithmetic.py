"""Arithmetic on lanes against NumPy, bit by bit."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from zigllm_cli.simd import arithmetic as ops
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.vector import f32x16, i8x64, i32x16, mask16, mask64, u8x64

Array = np.ndarray[Any, np.dtype[Any]]
Apply = Callable[..., Array]
Pair = tuple[Array, Array]


def same(got: Array, expected: Array) -> bool:
    """Whether floats are equal, with signs of zeros; any NaN is as good as another."""
    numbers = ~np.isnan(expected)
    return bool(
        np.array_equal(np.isnan(got), ~numbers)
        and got.dtype == expected.dtype
        and np.array_equal(got[numbers].view(np.uint32), expected[numbers].view(np.uint32))
    )


@pytest.fixture(autouse=True)
def silence() -> Any:
    """NumPy reports what we mean to do."""
    with np.errstate(all="ignore"):
        yield


OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "&": operator.and_, "|": operator.or_, "^": operator.xor,
}  # fmt: skip


def operation(symbol: str) -> Any:
    """`a symbol b` as an operation."""
    space: dict[str, Any] = {}
    exec(f"def apply(a, b):\n    return a {symbol} b", space)
    return njit(forceinline=True)(space["apply"])


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/"])
def test_operators_of_floats(apply: Apply, floats: Pair, symbol: str) -> None:
    got = apply(operation(symbol), f32x16, *floats)
    assert same(got, OPERATORS[symbol](*floats))


@pytest.mark.parametrize("symbol", ["+", "-", "*", "&", "|", "^"])
@pytest.mark.parametrize("vec", [u8x64, i32x16], ids=str)
def test_operators_of_integers(
    apply: Apply, rng: np.random.Generator, symbol: str, vec: Any
) -> None:
    kind = np.dtype(vec.element[0] + str(int(vec.element[1:]) // 8))
    limits = np.iinfo(kind)
    x, y = rng.integers(limits.min, limits.max, (2, 8, vec.lanes), kind, endpoint=True)
    x[0], y[0] = limits.max, limits.max
    x[1], y[1] = limits.min, limits.max
    assert np.array_equal(apply(operation(symbol), vec, x, y), OPERATORS[symbol](x, y))


def test_bits_of_floats_are_refused(apply: Apply, floats: Pair) -> None:
    with pytest.raises(Exception, match="and_ of f32x16"):
        apply(operation("&"), f32x16, *floats)


def test_operands_of_two_types_are_refused(apply: Apply, floats: Pair) -> None:
    with pytest.raises(TypingError):
        apply(operation("+"), f32x16, floats[0], np.zeros((len(floats[0]), 16), np.int32))


@pytest.mark.parametrize(
    ("made", "vec", "expected"),
    [
        (ops.fill(f32x16, 0.1), f32x16, np.full(16, 0.1, np.float32)),
        (ops.const(i32x16, range(-8, 8)), i32x16, np.arange(-8, 8)),
        (ops.const(u8x64, range(192, 256)), u8x64, np.arange(192, 256)),
        (ops.zero_f32x16, f32x16, np.zeros(16)),
        (ops.zero_i32x16, i32x16, np.zeros(16)),
        (ops.zero_u8x64, u8x64, np.zeros(64)),
        (ops.low_nibbles, u8x64, np.full(64, 15)),
    ],
)
def test_constants(apply: Apply, made: Any, vec: Any, expected: Array) -> None:
    assert np.array_equal(apply(made, vec)[0], expected)


def test_splat(apply: Apply, floats: Pair) -> None:
    x = np.ascontiguousarray(floats[1][0])
    assert same(apply(ops.splat_f32x16, f32x16, x), np.repeat(x, 16).reshape(16, 16))
    n = np.array([0, 255, 1 << 31, -1])
    assert np.array_equal(apply(ops.splat_u8x64, u8x64, n)[:, 63], n.astype(np.uint8))
    assert np.array_equal(apply(ops.splat_i32x16, i32x16, n)[:, 15], n.astype(np.int32))


def test_fma_rounds_once(apply: Apply, floats: Pair, rng: np.random.Generator) -> None:
    x, y = floats
    z = rng.standard_normal(x.shape).astype(np.float32)
    z[:16] = x[:16].T
    x[-1], y[-1], z[-1] = 1 + 2**-12, 1 + 2**-12, -(1 + 2**-11)  # 0 if the product is rounded
    product = x.astype(np.float64) * y
    expected = (product + z).astype(np.float32)
    assert expected[-1, 0] == 2.0**-24
    assert same(apply(ops.fma, f32x16, x, y, z), expected)


def test_extrema_of_nan_and_zeros(apply: Apply, floats: Pair) -> None:
    """The second where the first is NaN, or equal to it."""
    x, y = floats
    assert same(apply(ops.maximum, f32x16, x, y), np.where(x > y, x, y))
    assert same(apply(ops.minimum, f32x16, x, y), np.where(x < y, x, y))


def test_greater(apply: Apply, floats: Pair) -> None:
    x, y = floats
    assert np.array_equal(apply(ops.greater, mask16, x, y), x > y)


def test_absolute_and_square_root(apply: Apply, floats: Pair) -> None:
    x, _ = floats
    assert same(apply(ops.absolute, f32x16, x), np.abs(x))
    assert same(apply(ops.square_root, f32x16, x), np.sqrt(x))


def test_lane_sum_is_a_tree(apply: Apply, rng: np.random.Generator) -> None:
    """In this order on every machine: halves added until one is left."""
    x = (rng.standard_normal((200, 16)) * 10 ** rng.uniform(-8, 8, (200, 16))).astype(np.float32)
    tree = x
    while tree.shape[1] > 1:
        half = tree.shape[1] // 2
        tree = tree[:, :half] + tree[:, half:]
    assert np.array_equal(apply(ops.lane_sum, np.float32, x), tree)


def test_lane_maximum(apply: Apply, rng: np.random.Generator) -> None:
    x = rng.standard_normal((64, 16)).astype(np.float32)
    x[:16][np.eye(16, dtype=bool)] = 100
    x[16] = -np.inf
    assert np.array_equal(apply(ops.lane_maximum, np.float32, x)[:, 0], x.max(axis=1))


def test_shifts_by_a_constant(apply: Apply, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (4, 64), np.uint8)
    n = rng.integers(-(2**31), 2**31, (4, 16)).astype(np.int32)
    assert np.array_equal(apply(ops.shift_right(3), u8x64, x), x >> 3)
    assert np.array_equal(apply(ops.shift_left(5), u8x64, x), x << 5)
    assert np.array_equal(apply(ops.shift_left(31), i32x16, n), n << 31)
    down = (n.view(np.uint32) >> 7).view(np.int32)  # zeros come in for signed lanes too
    assert np.array_equal(apply(ops.shift_right(7), i32x16, n), down)
    words = (x.view(np.uint16) >> 6).view(np.uint8)
    assert np.array_equal(apply(ops.shift_right_words(6), u8x64, x), words)


def test_masks(apply: Apply, rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 256, (2, 8, 64), np.uint8)
    mask = rng.integers(0, 2, (8, 64)).astype(bool)
    assert np.array_equal(apply(ops.select, u8x64, mask, x, y), np.where(mask, x, y))
    assert np.array_equal(apply(ops.top_bits, mask64, x), x >= 128)
    assert np.array_equal(apply(ops.has_bits, mask64, x, y), (x & y) != 0)
    signed = x.view(np.int8)
    signed[0] = -128
    negated = np.where(mask, -signed, signed)  # -128 stays
    assert np.array_equal(apply(ops.negate_where, i8x64, mask, signed), negated)


def test_select_of_other_lanes(apply: Apply, floats: Pair, rng: np.random.Generator) -> None:
    x, y = floats
    mask = rng.integers(0, 2, x.shape).astype(bool)
    assert same(apply(ops.select, f32x16, mask, x, y), np.where(mask, x, y))


def test_first_lanes(apply: Apply) -> None:
    n = np.array([-(2**40), -1, 0, 1, 2, 15, 16, 17, 2**40])
    assert np.array_equal(apply(ops.first_lanes, mask16, n), np.arange(16) < n[:, None])


def test_narrow_f64(apply: Apply) -> None:
    x = np.array([0.1, 1 + 2**-24, 1 + 3 * 2**-24, 1e300, -1e300, 1e-46, -0.0, np.inf, np.nan])
    assert same(apply(ops.narrow_f64, np.float32, x)[:, 0], x.astype(np.float32))
