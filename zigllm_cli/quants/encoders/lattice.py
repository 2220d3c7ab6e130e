"""What the code-book types share: rounding to points of a book, and searching around them.

`tables` of `neighbours` stand in memory. The error of a candidate is a sum over its digits of a
term that depends on one digit only, so the terms are tabled first; then sixteen candidates are
compared at once, with a look-up and an addition per digit, in the reference's order.
"""

from llvmlite import ir
from numba import types

from zigllm_cli.quants.encoders.lanes import part
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import const, fill, greater, select
from zigllm_cli.simd.emit import (
    broadcast,
    call,
    emit,
    halves,
    joined,
    load,
    offset,
    shuffle,
    store,
)
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.memory import load_i32, load_u16
from zigllm_cli.simd.vector import F32, I32, f32x16, i32x16, u16x16

GROUP_BYTES = 32


def look_up(bits):
    """IR (b, address, indices): the float of 2^bits at the address for each lane.

    Only the lowest bits of an index count.
    """
    count = 1 << bits
    row, eight = ir.VectorType(F32, count), ir.VectorType(F32, 8)

    def repeated(b, p, lanes):
        table = load(b, p, row)
        return shuffle(b, table, table, [i % count for i in range(lanes)])

    def by_permute_16(b, p, index):
        name = "vpermilvar.ps.512" if bits == 2 else "permvar.sf.512"
        return call(b, f"llvm.x86.avx512.{name}", f32x16.ir, repeated(b, p, 16), index)

    def by_permute_8(b, p, index):
        name = "llvm.x86.avx.vpermilvar.ps.256" if bits == 2 else "llvm.x86.avx2.permps"
        table = repeated(b, p, 8)
        parts = [call(b, name, eight, table, piece) for piece in halves(b, index, 2)]
        return joined(b, parts)

    def by_selection(b, p, index):
        left = [broadcast(b, load(b, offset(b, p, 4 * i), F32), 16) for i in range(count)]
        zero = i32x16.constant([0] * 16)
        for bit in range(bits):
            is_set = b.icmp_unsigned("!=", b.and_(index, i32x16.constant([1 << bit] * 16)), zero)
            pairs = zip(left[::2], left[1::2], strict=True)
            left = [b.select(is_set, high, low) for low, high in pairs]
        return left[0]

    builds = {"avx512": by_permute_16, "avx2": by_permute_8, "avxvnni": by_permute_8}
    return builds.get(current().name, by_selection)


@emit(i32x16, types.int64)
def load_points(b, p):
    """Sixteen points of 16 bits."""
    return b.zext(load(b, p, u16x16.ir), i32x16.ir)


@emit(types.int64, f32x16, i32x16)
def place_of_least(b, errors, places):
    """The place of the least error; of equal ones the least place."""

    def least(v, compare):
        while v.type.count > 1:
            half = v.type.count // 2
            low, high = (shuffle(b, v, v, range(i * half, i * half + half)) for i in range(2))
            v = b.select(compare(low, high), low, high)
        return b.extract_element(v, ir.Constant(I32, 0))

    smallest = least(errors, lambda low, high: b.fcmp_ordered("<", low, high))
    among = b.fcmp_ordered("==", errors, broadcast(b, smallest, 16))
    far = i32x16.constant([1 << 20] * 16)
    found = least(b.select(among, places, far), lambda low, high: b.icmp_signed("<", low, high))
    return b.zext(found, ir.IntType(64))


lane_numbers, sixteen = const(i32x16, range(16)), fill(i32x16, 16)
infinity = fill(f32x16, float("inf"))


def book(width, bits):
    """(find, nearest_point) of code books whose points have `width` digits of `bits`.

    find(tables, point) -> its number, or a negative one: -1 - (first group)
    nearest_point(tables, point, terms) -> the neighbour of the point of least error; terms are
        f32 [width, 2^bits] at an address
    """
    points, total_error = 1 << bits * width, _total_error(width, bits)

    @part
    def find(tables, point):
        return load_i32(tables + 4 * point)

    @part
    def nearest_point(tables, point, terms):
        groups = load_i32(tables + 4 * (points + point))
        lists = tables + 8 * points + GROUP_BYTES * (-1 - find(tables, point))
        least, places = infinity(), lane_numbers()
        here = places
        for group in range(groups):
            errors = total_error(load_points(lists + GROUP_BYTES * group), terms)
            less = greater(least, errors)
            least, places = select(less, errors, least), select(less, here, places)
            here = here + sixteen()
        return load_u16(lists + 2 * place_of_least(least, places))

    return find, nearest_point


def _total_error(width, bits):
    """An operation (points, terms): for sixteen points the sum of the terms of their digits."""
    look = look_up(bits)

    def build(b, points, terms):
        total = None
        for i in range(width):
            digits = b.lshr(points, i32x16.constant([bits * i] * 16))
            term = look(b, offset(b, terms, (4 << bits) * i), digits)
            total = term if total is None else b.fadd(total, term)
        return total

    return emit(f32x16, i32x16, types.int64)(build)


def terms_of(width, bits):
    """An operation (x, w, scale, levels, out): w * (scale * level - x)^2 of every digit.

    x and w are `width` floats at an address; levels an f32x16 of the values of the digits,
    repeated; `out` gets f32 [width, 2^bits].
    """
    row, per_vector = ir.VectorType(F32, width), 16 >> bits

    def build(b, x, w, scale, levels, out):
        scaled = b.fmul(broadcast(b, scale, 16), levels)
        values, weights = load(b, x, row), load(b, w, row)
        for half in range(width // per_vector):
            lanes = [half * per_vector + (lane >> bits) for lane in range(16)]
            difference = b.fsub(scaled, shuffle(b, values, values, lanes))
            term = b.fmul(b.fmul(shuffle(b, weights, weights, lanes), difference), difference)
            store(b, offset(b, out, 64 * half), term)

    kinds = (types.int64, types.int64, types.float32, f32x16, types.int64)
    return emit(types.void, *kinds)(build)


@emit(i32x16, i32x16, types.int64)
def shifted_up(b, v, count):
    """Every lane shifted up by as many bits."""
    return b.shl(v, broadcast(b, b.trunc(count, I32), 16))


@emit(i32x16, i32x16, types.int64)
def shifted_down(b, v, count):
    """Every lane shifted down by as many bits, zeros coming in."""
    return b.lshr(v, broadcast(b, b.trunc(count, I32), 16))
