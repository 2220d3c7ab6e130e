"""The search of IQ2 and IQ3: signs apart, magnitudes rounded to points of a code book.

A point's digit k stands for 2k + 1. Many scales are tried; for each the magnitudes are rounded,
what is not in the book moves to its best neighbour, and the best multiplier follows from least
weighted squares. Then what the best scale had to move is rounded once more.
"""

from dataclasses import dataclass

import numpy as np

from zigllm_cli.quants.encoders.lanes import (
    any_lane,
    at_least,
    clamp,
    differs,
    every_lane,
    floats_out,
    half_bits_of,
    is_negative,
    is_nonzero,
    is_set,
    lanes_in,
    nearest,
    negative,
    one,
    ones_where,
    part,
    per_block,
    transpose,
    transpose_to_bytes,
    zero,
)
from zigllm_cli.quants.encoders.lattice import book, shifted_down, shifted_up, terms_of
from zigllm_cli.quants.encoders.searches import positive
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import (
    absolute,
    const,
    fill,
    greater,
    select,
    splat_f32x16,
    square_root,
)
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import (
    load_f32,
    load_f32x16,
    load_i32,
    load_i32x16,
    stack_room,
    store_i32,
    store_u8,
    store_u16,
    store_vec,
)
from zigllm_cli.simd.vector import f32x16, i32x16

half, none, unit = fill(f32x16, 0.5), fill(i32x16, 0), fill(i32x16, 1)


@dataclass(frozen=True)
class Search:
    """How a type looks for the points of a group.

    Attributes:
        n: values of a group, which share a scale.
        width: digits of a point.
        bits: of a digit.
        top: the highest digit.
        tries: scales on either side of the one that fits the largest magnitude.
        delta: from one to the next, in units of the highest magnitude 2 * top + 1.
        even_signs: the number of negative signs is even, so that the eighth need not be stored.
        least: groups with no magnitude of at least this are empty.
        refine: what is rounded once more: "moved" points, "all" if one was moved, or "always".
        fitted: scales are tried around one fitted first, not around the largest magnitude.
    """

    n: int
    width: int
    bits: int
    top: int
    tries: int
    delta: float
    even_signs: bool
    least: float
    refine: str = "moved"
    fitted: bool = False


def signs_of(how):
    """A function (x, w, signs): x becomes magnitudes, signs int32 [n / 8] of eight bits.

    With `even_signs` an odd number is made even by the value that costs least: its magnitude is
    then negative, its sign bit changed, and the eighth bit left away.
    """
    groups, even, low_seven = how.n // 8, how.even_signs, fill(i32x16, 127)

    @part
    def split(x, w, signs):
        for k in range(groups):
            bits, odd, cheapest = none(), none(), none()
            cost = zero()
            for i in range(8):
                at = 64 * (8 * k + i)
                v = load_f32x16(x + at)
                positive_lanes = at_least(v, zero())
                flag = unit() - ones_where(positive_lanes)
                bits, odd = bits | shifted_up(flag, i), odd ^ flag
                price = load_f32x16(w + at) * v * v
                if i == 0:
                    cost = price
                else:
                    less = greater(cost, price)
                    cost = select(less, price, cost)
                    cheapest = select(less, every_lane(i), cheapest)
                store_vec(x + at, select(positive_lanes, v, negative(v)))
            if even:
                for i in range(8):
                    at = 64 * (8 * k + i)
                    flip = is_set(odd & (unit() - ones_where(differs(cheapest, every_lane(i)))))
                    v = load_f32x16(x + at)
                    store_vec(x + at, select(flip, negative(v), v))
                    bits = bits ^ shifted_up(ones_where(flip), i)
                bits = bits & low_seven()
            store_vec(signs + 64 * k, bits)

    return split


def search_of(how):
    """A function (tables, x, w, natural x, natural roots of w, points) -> scale of the lanes.

    x and w are lanes; the natural ones f32 [16, n]; points int32 [n / width] lanes. The scale is
    zero, and so are the points, of empty groups; it may be negative.
    """
    n, width, bits, tries = how.n, how.width, how.bits, how.tries
    pieces, span, delta = n // width, np.float32(2 * how.top + 1), np.float32(how.delta)
    fitted, always, all_of_it = how.fitted, how.refine == "always", how.refine != "moved"
    find, nearest_point = book(width, bits)
    store_terms = terms_of(width, bits)
    levels = const(f32x16, [2 * (i % (1 << bits)) + 1 for i in range(16)])
    bounded, digit = clamp(0, how.top), fill(i32x16, (1 << bits) - 1)
    least, three = fill(f32x16, float(np.float32(how.least))), fill(f32x16, how.top + 1)
    first_fit = positive(n, how.top + 2)
    terms_room, scales_room = stack_room(128), stack_room(64)
    trial_room, moved_room, kept_moved_room = (stack_room(64 * pieces) for _ in range(3))
    codes_room = stack_room(64 * n)

    @part
    def round_to_points(x, inverse, points):
        for piece in range(pieces):
            point = none()
            for i in range(width):
                v = load_f32x16(x + 64 * (width * piece + i))
                code = bounded(nearest(half() * (inverse * v - one())))
                point = point | shifted_up(code, bits * i)
            store_vec(points + 64 * piece, point)

    @part
    def move_into_book(tables, natural, roots, scale, points, moved):
        scales, terms = scales_room(), terms_room()
        store_vec(scales, scale)
        for piece in range(pieces):
            for lane in range(16):
                at = 64 * piece + 4 * lane
                point = load_i32(points + at)
                is_moved = find(tables, point) < 0
                if is_moved:
                    start = 4 * (n * lane + width * piece)
                    one_scale = load_f32(scales + 4 * lane)
                    store_terms(natural + start, roots + start, one_scale, levels(), terms)
                    store_i32(points + at, nearest_point(tables, point, terms))
                store_i32(moved + at, int(is_moved))

    @part
    def sums(x, w, points):
        sumqx = sumq2 = zero()
        for piece in range(pieces):
            point = load_i32x16(points + 64 * piece)
            for i in range(width):
                at = 64 * (width * piece + i)
                code = shifted_down(point, bits * i) & digit()
                level = to_f32(code + code + unit())
                weight = load_f32x16(w + at)
                sumqx = sumqx + weight * load_f32x16(x + at) * level
                sumq2 = sumq2 + weight * level * level
        return sumqx, sumq2

    @part
    def search(tables, x, w, natural, roots, points):
        trial, moved, kept_moved = trial_room(), moved_room(), kept_moved_room()
        peak = load_f32x16(x)
        for i in range(1, n):
            v = load_f32x16(x + 64 * i)
            peak = select(greater(peak, v), peak, v)
        empty = ones_where(greater(least(), peak))
        if fitted:
            scale = first_fit(x, w, codes_room())
            divisor = scale * three()
            empty = empty | ones_where(at_least(zero(), divisor))
        else:
            scale, divisor = peak / splat_f32x16(span), peak
        best = zero()
        for piece in range(pieces):
            store_vec(points + 64 * piece, none())
            store_vec(kept_moved + 64 * piece, unit() if all_of_it else none())
        for step in range(-tries, tries + 1):
            inverse = splat_f32x16(span + np.float32(step) * delta) / divisor
            round_to_points(x, inverse, trial)
            move_into_book(tables, natural, roots, one() / inverse, trial, moved)
            sumqx, sumq2 = sums(x, w, trial)
            better = greater(sumq2, zero()) & greater(sumqx * sumqx, best * sumq2)
            found = sumqx / sumq2
            scale, best = select(better, found, scale), select(better, found * sumqx, best)
            for at in range(0, 64 * pieces, 64):
                chosen = select(better, load_i32x16(trial + at), load_i32x16(points + at))
                store_vec(points + at, chosen)
                chosen = select(better, load_i32x16(moved + at), load_i32x16(kept_moved + at))
                store_vec(kept_moved + at, chosen)
        again = none()
        for at in range(0, 64 * pieces, 64):
            again = again | load_i32x16(kept_moved + at)
        if always:
            again = unit()
        again = again & ones_where(greater(scale, zero()))
        if any_lane(is_set(again)):
            inverse = one() / scale
            round_to_points(x, inverse, trial)
            move_into_book(tables, natural, roots, scale, trial, moved)
            for at in range(0, 64 * pieces, 64):
                where = again if all_of_it else again & load_i32x16(kept_moved + at)
                chosen = select(is_set(where), load_i32x16(trial + at), load_i32x16(points + at))
                store_vec(points + at, chosen)
            sumqx, sumq2 = sums(x, w, points)
            fit = is_set(again) & greater(sumq2, zero())
            scale = select(fit, sumqx / sumq2, scale)
        for at in range(0, 64 * pieces, 64):
            store_vec(points + at, select(is_set(empty), none(), load_i32x16(points + at)))
        return select(is_set(empty), zero(), scale)

    return search


def encode_with(how, make_weights, pack, block_bytes, fudge):
    """The `encoder` of a type: see `encoders`.

    Args:
        make_weights: (x, weights, mean square of the block, whether importance is given).
        pack: (numbers u16 [256 / width], signs uint8 [32], scale codes uint8 [256 / n], out) of
            a block, its half float apart.
        fudge: what the scale of a block is multiplied by before it is stored.
    """
    n, width = how.n, how.width
    pieces, groups = n // width, 256 // n
    split, search, of_blocks = signs_of(how), search_of(how), per_block(n)
    quantize_scales = scales_of(groups, 4, np.float32(fudge))
    find, _ = book(width, how.bits)
    full_signs = fill(i32x16, 127 if how.even_signs else 255)
    x_room, w_room, root_room = (stack_room(64 * n) for _ in range(3))
    natural_room, natural_roots_room = stack_room(64 * n), stack_room(64 * n)
    points_room, signs_room = stack_room(64 * pieces), stack_room(64 * (n // 8))
    scales_room, codes_room = stack_room(64 * 16 + 64), stack_room(256 + 16)
    numbers_room, all_signs_room, d_room = (
        stack_room(2 * 4096 // width),
        stack_room(4096 // 8),
        stack_room(64),
    )

    @part
    def encode(x, w, s, tables, out):
        values, weights, roots, signs = x_room(), w_room(), root_room(), signs_room()
        natural, natural_roots, points = natural_room(), natural_roots_room(), points_room()
        numbers, all_signs, scales = numbers_room(), all_signs_room(), scales_room()
        for group in range(groups):
            lanes_in(x + 64 * n * group, n, values)
            if w:
                lanes_in(w + 64 * n * group, n, weights)
            make_weights(values, weights, of_blocks(s, group), w)
            for i in range(n):
                store_vec(roots + 64 * i, square_root(load_f32x16(weights + 64 * i)))
            split(values, weights, signs)
            floats_out(values, n, natural)
            floats_out(roots, n, natural_roots)
            scale = search(tables, values, weights, natural, natural_roots, points)
            turned, kept = is_negative(scale), is_nonzero(scale)
            for k in range(n // 8):
                bits = load_i32x16(signs + 64 * k)
                bits = select(turned, bits ^ full_signs(), bits)
                store_vec(signs + 64 * k, select(kept, bits, none()))
            store_vec(scales + 64 * group, absolute(scale))
            for lane in range(16):
                for piece in range(pieces):
                    number = find(tables, load_i32(points + 64 * piece + 4 * lane))
                    store_u16(numbers + 2 * (pieces * (16 * group + lane) + piece), number)
                for k in range(n // 8):
                    byte = load_i32(signs + 64 * k + 4 * lane)
                    store_u8(all_signs + n // 8 * (16 * group + lane) + k, byte)
        d, codes = d_room(), codes_room()
        store_vec(d, quantize_scales(scales, codes))
        halves = load_f32x16(d)
        for block in range(16):
            store_u16(out, half_bits_of(halves, block))
            pack(
                numbers + 512 // width * block,
                all_signs + 32 * block,
                codes + groups * block,
                out + 2,
            )
            out += block_bytes

    return encode


def scales_of(count, bits, fudge):
    """A function (scales f32 [16, count], codes) -> d of each block, times `fudge`.

    s ~ d * (2 * code + 1), with codes of so many bits.
    """
    highest = np.float32((2 << bits) - 1)
    bounded, x_room, found_room = (
        clamp(0, (1 << bits) - 1),
        stack_room(64 * 16),
        stack_room(64 * 16),
    )

    @part
    def quantize(scales, codes):
        x, found = x_room(), found_room()
        transpose(scales, 4 * count, x)
        peak = zero()
        for i in range(count):
            v = load_f32x16(x + 64 * i)
            peak = select(greater(peak, v), peak, v)
        d = peak / splat_f32x16(highest)
        inverse = one() / d
        for i in range(count):
            code = bounded(nearest(half() * (inverse * load_f32x16(x + 64 * i) - one())))
            store_vec(found + 64 * i, code)
        transpose_to_bytes(found, codes, count)
        return d * splat_f32x16(fudge)

    return quantize
