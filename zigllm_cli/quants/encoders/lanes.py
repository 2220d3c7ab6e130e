"""What encoders are written in: sixteen blocks side by side, one in each lane.

`lanes_in` turns sixteen groups of n floats into n vectors; `codes_out` turns vectors of codes
back into bytes in their natural order.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import (
    absolute,
    fill,
    greater,
    select,
    splat_f32x16,
    square_root,
    zero_f32x16,
)
from zigllm_cli.simd.convert import f16_to_f32, f32_to_f16, float_to_half
from zigllm_cli.simd.emit import broadcast, emit, load, offset, store
from zigllm_cli.simd.memory import load_f32, load_f32x16, load_i32x16, store_vec
from zigllm_cli.simd.shuffle import blend
from zigllm_cli.simd.tile import transposed
from zigllm_cli.simd.vector import I8, I16, I32, I64, f32x16, i32x16, mask16, u8x16

part = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
one = fill(f32x16, 1.0)
zero = zero_f32x16
GROUP_EPSILON = float(np.float32(1e-15))
"""Groups whose largest magnitude is below this count as zero."""


@emit(i32x16, types.int64)
def every_lane(b, value):
    """One integer in every lane."""
    return broadcast(b, b.trunc(value, I32), 16)


# ------------------------------------------------------------------ rounding


def _lanes(value):
    return i32x16.constant([value] * 16)


@emit(i32x16, f32x16)
def nearest(b, v):
    """To the nearest integer, ties to even, as the reference does it: 2^23 + 2^22 is added and
    the low bits are read. Infinities and NaN thus give the same integers as there.
    """
    magic = f32x16.constant([12582912.0] * 16)
    bits = b.bitcast(b.fadd(v, magic), i32x16.ir)
    return b.sub(b.and_(bits, _lanes(0x007FFFFF)), _lanes(0x00400000))


def clamp(low, high):
    """An operation: integers no lower than `low` and no higher than `high` (None: no bound)."""

    def build(b, v):
        if high is not None:
            v = b.select(b.icmp_signed("<", v, _lanes(high)), v, _lanes(high))
        if low is not None:
            v = b.select(b.icmp_signed(">", v, _lanes(low)), v, _lanes(low))
        return v

    return emit(i32x16, i32x16)(build)


@emit(i32x16, f32x16)
def truncated(b, v):
    """Towards zero."""
    return b.fptosi(v, i32x16.ir)


@emit(i32x16, f32x16)
def rounded_away(b, v):
    """To the nearest integer, ties away from zero."""
    whole = b.fptosi(v, i32x16.ir)
    rest = b.fsub(v, b.sitofp(whole, f32x16.ir))
    half = f32x16.constant([0.5] * 16)
    up = b.zext(b.fcmp_ordered(">=", rest, half), i32x16.ir)
    down = b.zext(b.fcmp_ordered("<=", rest, f32x16.constant([-0.5] * 16)), i32x16.ir)
    return b.sub(b.add(whole, up), down)


@part
def as_half(v):
    """Rounded to a half float and back."""
    return f16_to_f32(f32_to_f16(v))


# ------------------------------------------------------------------ comparing


@emit(mask16, f32x16, f32x16)
def at_least(b, x, y):
    """x >= y in each lane; false for NaN."""
    return b.fcmp_ordered(">=", x, y)


@emit(mask16, f32x16)
def is_nonzero(b, v):
    """Whether C would take the number for true."""
    return b.fcmp_unordered("!=", v, f32x16.constant([0.0] * 16))


@emit(mask16, f32x16)
def is_negative(b, v):
    """Below zero."""
    return b.fcmp_ordered("<", v, f32x16.constant([0.0] * 16))


@emit(i32x16, mask16)
def ones_where(b, mask):
    """1 in the lanes of the mask, 0 elsewhere."""
    return b.zext(mask, i32x16.ir)


@emit(mask16, i32x16)
def is_set(b, v):
    """The lanes that are not 0."""
    return b.icmp_signed("!=", v, _lanes(0))


@emit(mask16, i32x16, i32x16)
def differs(b, x, y):
    """x != y in each lane."""
    return b.icmp_signed("!=", x, y)


@emit(types.boolean, mask16)
def any_lane(b, mask):
    """Whether a lane is set."""
    return b.icmp_unsigned("!=", b.bitcast(mask, I16), ir.Constant(I16, 0))


minus_one = fill(f32x16, -1.0)


@part
def negative(v):
    """-v, also of zero."""
    return minus_one() * v


@part
def reciprocal_or_zero(v):
    """1 / v, and 0 of 0."""
    return select(is_nonzero(v), one() / v, zero())


# ------------------------------------------------------------------ to lanes and back


@emit(types.void, types.int64, types.int64, types.int64)
def transpose(b, source, stride, target):
    """16 rows of 16 floats (or 32-bit integers), `stride` bytes apart, exchanged with columns."""
    starts = [b.add(source, b.mul(stride, ir.Constant(I64, row))) for row in range(16)]
    for column, vector in enumerate(transposed(b, [load(b, p, f32x16.ir) for p in starts])):
        store(b, offset(b, target, 64 * column), vector)


@emit(types.void, types.int64, types.int64, types.int64)
def transpose_to_bytes(b, source, target, stride):
    """16 vectors of integers to 16 rows of 16 bytes, `stride` apart, lane by lane."""
    vectors = [load(b, offset(b, source, 64 * i), f32x16.ir) for i in range(16)]
    for lane, row in enumerate(transposed(b, vectors)):
        narrow = b.trunc(b.bitcast(row, i32x16.ir), ir.VectorType(I8, 16))
        store(b, b.add(target, b.mul(stride, ir.Constant(I64, lane))), narrow)


@emit(types.void, types.int64, types.int64, types.int64)
def transpose_back(b, source, target, stride):
    """16 vectors of floats to 16 rows of 16, `stride` bytes apart."""
    vectors = [load(b, offset(b, source, 64 * i), f32x16.ir) for i in range(16)]
    for lane, row in enumerate(transposed(b, vectors)):
        store(b, b.add(target, b.mul(stride, ir.Constant(I64, lane))), row)


@part
def lanes_in(source, n, target):
    """16 groups of n floats, one behind the other, to n vectors; n is a multiple of 16."""
    for i in range(0, n, 16):
        transpose(source + 4 * i, 4 * n, target + 64 * i)


@part
def floats_out(source, n, target):
    """n vectors to 16 groups of n floats, one behind the other: `lanes_in` undone."""
    for i in range(0, n, 16):
        transpose_back(source + 64 * i, target + 4 * i, 4 * n)


@part
def codes_out(source, n, target):
    """n vectors of integers to 16 groups of n bytes, one behind the other."""
    for i in range(0, n, 16):
        transpose_to_bytes(source + 64 * i, target + i, n)


@emit(i32x16, types.int64)
def load_bytes(b, p):
    """16 bytes, a lane each."""
    return b.zext(load(b, p, u8x16.ir), i32x16.ir)


@emit(types.int64, f32x16, types.int64)
def half_bits_of(b, v, lane):
    """The bits of one lane as a half float."""
    return b.zext(b.extract_element(float_to_half(b, v), b.trunc(lane, I32)), I64)


# ------------------------------------------------------------------ sums and extrema over a group


@part
def sum_of_squares(x, n):
    """Of each lane, in order."""
    total = zero()
    for i in range(n):
        v = load_f32x16(x + 64 * i)
        total = total + v * v
    return total


@part
def sum_in_order(x, n):
    """Of each lane."""
    total = zero()
    for i in range(n):
        total = total + load_f32x16(x + 64 * i)
    return total


@part
def magnitude(x, n):
    """The largest magnitude of each lane."""
    peak = zero()
    for i in range(n):
        a = absolute(load_f32x16(x + 64 * i))
        peak = select(greater(a, peak), a, peak)
    return peak


@part
def farthest_from_zero(x, n):
    """The first value of the largest magnitude, with its sign, and that magnitude."""
    value, peak = zero(), zero()
    for i in range(n):
        v = load_f32x16(x + 64 * i)
        a = absolute(v)
        more = greater(a, peak)
        value, peak = select(more, v, value), select(more, a, peak)
    return value, peak


@part
def extrema(x, n):
    """The smallest and the largest value of each lane."""
    low = high = load_f32x16(x)
    for i in range(1, n):
        v = load_f32x16(x + 64 * i)
        low = select(greater(low, v), v, low)
        high = select(greater(v, high), v, high)
    return low, high


@part
def clear_codes(codes, n, where):
    """Zero in the lanes that the mask marks."""
    for i in range(n):
        kept = load_i32x16(codes + 64 * i)
        store_vec(codes + 64 * i, select(where, kept - kept, kept))


@part
def weigh(x, w, spread, n):
    """Importance to weights, in place: w * sqrt(spread + x^2)."""
    for i in range(n):
        v = load_f32x16(x + 64 * i)
        store_vec(w + 64 * i, load_f32x16(w + 64 * i) * square_root(spread + v * v))


halves_of_two = blend(f32x16, [*range(8), *range(24, 32)])


def per_block(n):
    """A function (numbers, group): f32 [16 blocks] to the lanes of a group of 16 sub-blocks of n.

    A group is one block of 256, or two.
    """

    @part
    def of_one(numbers, group):
        return splat_f32x16(load_f32(numbers + 4 * group))

    @part
    def of_two(numbers, group):
        first = splat_f32x16(load_f32(numbers + 8 * group))
        return halves_of_two(first, splat_f32x16(load_f32(numbers + 8 * group + 4)))

    return of_one if n == 16 else of_two


@part
def squares_in(x, w, n):
    """Squares as weights."""
    for i in range(n):
        v = load_f32x16(x + 64 * i)
        store_vec(w + 64 * i, v * v)
