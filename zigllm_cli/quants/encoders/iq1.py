"""IQ1_S and IQ1_M: eight times -1, 0 or 1 from a code book of 2048, moved by an eighth up or down.

The best split of a group into the three values can be found exactly: with its values in order
it is two places, and sums up to a place give the error of each pair. What is then not in the book
moves to its best neighbour.
"""

import numpy as np

from zigllm_cli.quants.encoders import neighbours
from zigllm_cli.quants.encoders.iq1_splits import best_halves_split, best_split, sort_lanes
from zigllm_cli.quants.encoders.lanes import (
    floats_out,
    half_bits_of,
    lanes_in,
    magnitude,
    part,
    per_block,
    squares_in,
    weigh,
)
from zigllm_cli.quants.encoders.lattice import book, terms_of
from zigllm_cli.quants.encoders.lattice_search import scales_of
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import const, fill
from zigllm_cli.simd.convert import store_f16
from zigllm_cli.simd.memory import (
    load_f32,
    load_f32x16,
    load_i32,
    load_u8,
    load_u16,
    stack_room,
    store_f32,
    store_u8,
    store_u16,
    store_vec,
)
from zigllm_cli.simd.vector import f32x16

EIGHTH = np.float32(0.125)
WIDTH, BITS = 8, 2
UP = [-1 + 0.125, 0.125, 1 + 0.125]
DOWN = [-1 - 0.125, -0.125, 1 - 0.125]
raised, lowered = (const(f32x16, [*levels, 0.0] * 4) for levels in (UP, DOWN))
find, nearest_point = book(WIDTH, BITS)
store_terms = terms_of(WIDTH, BITS)
two = fill(f32x16, 2.0)
terms_room = stack_room(128)


def tables(name):
    """Both types share one code book."""
    return neighbours.tables("IQ1_S")


def encoder(name, weighted):
    """See `encoders`; without importance only IQ1_M knows weights."""
    return _iq1_s() if name == "IQ1_S" else _iq1_m()


@part
def level(point, place, up):
    """What a digit of a point stands for."""
    digit = np.float32((point >> (2 * place)) & 3) - np.float32(1)
    return digit + EIGHTH if up else digit - EIGHTH


@part
def into_book(tables, x, w, scale, up, point):
    """The point, or the best of its neighbours; x and w are eight floats."""
    if find(tables, point) >= 0:
        return point
    terms = terms_room()
    if up:
        store_terms(x, w, scale, raised(), terms)
    else:
        store_terms(x, w, scale, lowered(), terms)
    return nearest_point(tables, point, terms)


@part
def point_of(digits):
    """Eight digits, a byte each, as a point."""
    point = 0
    for i in range(WIDTH):
        point |= load_u8(digits + i) << (BITS * i)
    return point


def group_search(n, least, per_half):
    """A function that stores scales, numbers, points and shifts of sixteen groups of n values.

    (tables, x f32 [16, n], w f32 [16, n], mean square lanes, weights, scales f32 [16], numbers u16
    [16, n / 8], points likewise, shifts uint8 [16]). `weights` gets those of the values, f32
    [16, n]. Bit 1 of a shift says that the first half's levels are lowered, bit 0 the second's;
    where there is one shift for all (not `per_half`), both bits are equal.
    """
    pieces = n // WIDTH
    values_room, weights_room, keys_room, sorted_room, numbers_room = (
        stack_room(64 * n) for _ in range(5)
    )
    first_room, second_room, choice_room, scale_room, peak_room = (stack_room(64) for _ in range(5))
    digits_room = stack_room(n)
    sort = sort_lanes(n)
    split = best_halves_split(n) if per_half else best_split(n)
    least = np.float32(least)

    @part
    def weights_of(x, w, mean_square, values, weights):
        lanes_in(x, n, values)
        if w:
            lanes_in(w, n, weights)
            weigh(values, weights, two() * mean_square, n)
        else:
            squares_in(values, weights, n)

    @part
    def lowered_in(shift, piece):
        return (shift >> (1 - 2 * piece // pieces)) & 1

    @part
    def digits_of(order, lane, first, second, turned, digits):
        for j in range(n):
            digit = int(j >= first) + int(j >= second)
            store_u8(digits + load_i32(order + 64 * j + 4 * lane), 2 - digit if turned else digit)

    @part
    def fitted(x, w, points, shift, scale):
        """The scale of least squares for points."""
        sumqx = sumq2 = np.float32(0)
        for i in range(n):
            weight = load_f32(w + 4 * i)
            up = not lowered_in(shift, i // WIDTH)
            q = level(load_u16(points + 2 * (i // WIDTH)), i % WIDTH, up)
            sumqx += weight * q * load_f32(x + 4 * i)
            sumq2 += weight * q * q
        return sumqx / sumq2 if sumqx > 0 and sumq2 > 0 else scale

    @part
    def search(tables, x, w, mean_square, weights, scales, numbers, points, shifts):
        values, lanes = values_room(), weights_room()
        keys, moved, order, digits = keys_room(), sorted_room(), numbers_room(), digits_room()
        first, second, choice = first_room(), second_room(), choice_room()
        found_scales, peaks = scale_room(), peak_room()
        weights_of(x, w, mean_square, values, lanes)
        floats_out(lanes, n, weights)
        store_vec(peaks, magnitude(values, n))
        for i in range(0, 64 * n, 64):
            store_vec(keys + i, load_f32x16(values + i))
            store_vec(moved + i, load_f32x16(lanes + i))
        sort(keys, moved, order)
        if per_half:
            store_vec(found_scales, split(keys, moved, order, first, second, choice))
        else:
            store_vec(found_scales, split(keys, moved, first, second, choice))
        for lane in range(16):
            scale = load_f32(found_scales + 4 * lane)
            is_empty = load_f32(peaks + 4 * lane) < least or load_i32(first + 4 * lane) < 0
            shift = load_i32(choice + 4 * lane)
            if not per_half:
                shift = 0 if shift else 3
            at_x, at_w = x + 4 * n * lane, weights + 4 * n * lane
            at = 2 * pieces * lane
            if is_empty:
                scale, shift = np.float32(0), 0
                for piece in range(pieces):
                    store_u16(points + at + 2 * piece, 0)
            else:
                digits_of(
                    order,
                    lane,
                    load_i32(first + 4 * lane),
                    load_i32(second + 4 * lane),
                    scale < 0,
                    digits,
                )
                if scale < 0:
                    scale, shift = -scale, 3 - shift
                all_found = True
                for piece in range(pieces):
                    point = point_of(digits + WIDTH * piece)
                    up, start = not lowered_in(shift, piece), 4 * WIDTH * piece
                    entry = into_book(tables, at_x + start, at_w + start, scale, up, point)
                    all_found = all_found and entry == point
                    store_u16(points + at + 2 * piece, entry)
                if not all_found:
                    scale = fitted(at_x, at_w, points + at, shift, scale)
            for piece in range(pieces):
                number = find(tables, load_u16(points + at + 2 * piece))
                store_u16(numbers + at + 2 * piece, number)
            store_f32(scales + 4 * lane, scale)
            store_u8(shifts + lane, shift)

    return search


def _iq1_s():
    """Half float, low bytes of 32 numbers; per 32 values upper bits, scale and shift in a word."""
    n = 32
    search, of_blocks = group_search(n, 1e-12, False), per_block(n)
    quantize_scales = scales_of(8, 3, np.float32(1.125))
    weights_room, scales_room, codes_room = (
        stack_room(64 * n),
        stack_room(4 * 128 + 64),
        stack_room(144),
    )
    numbers_room, points_room, shifts_room = stack_room(1024), stack_room(1024), stack_room(128)
    d_room = stack_room(64)

    @part
    def encode(x, w, s, tables, out):
        scales, codes, d = scales_room(), codes_room(), d_room()
        numbers, points, shifts = numbers_room(), points_room(), shifts_room()
        for pair in range(8):
            search(
                tables,
                x + 64 * n * pair,
                w + 64 * n * pair,
                of_blocks(s, pair),
                weights_room(),
                scales + 64 * pair,
                numbers + 128 * pair,
                points + 128 * pair,
                shifts + 16 * pair,
            )
        store_vec(d, quantize_scales(scales, codes))
        for block in range(16):
            start = out + 50 * block
            store_u16(start, half_bits_of(load_f32x16(d), block))
            for i in range(8):
                word = load_u8(codes + 8 * block + i) << 12
                if load_u8(shifts + 8 * block + i):
                    word |= 0x8000
                for k in range(4):
                    number = load_u16(numbers + 2 * (32 * block + 4 * i + k))
                    store_u8(start + 2 + 4 * i + k, number)
                    word |= (number >> 8) << (3 * k)
                store_u16(start + 34 + 2 * i, word)

    return encode


def _iq1_m():
    """Low bytes of 32 numbers, 16 bytes of upper bits and shifts, 16 scales of three bits.

    The half float of the block stands in the upper nibbles of the four words of scales.
    """
    n = 16
    search = group_search(n, 1e-7, True)
    quantize_scales = scales_of(16, 3, np.float32(1))
    weights_room, scales_room, codes_room = (
        stack_room(16384),
        stack_room(1024 + 64),
        stack_room(272),
    )
    numbers_room, points_room, shifts_room = stack_room(1024), stack_room(1024), stack_room(256)
    d_room, half_room = stack_room(64), stack_room(8)
    of_blocks = per_block(n)
    fudge = np.float32(1.1125)

    @part
    def block_scale(x, w, points, shifts, codes, d):
        """The scale of least squares, over all values of a block in order."""
        sumqx = sumq2 = np.float32(0)
        for i in range(256):
            group, weight = i // n, load_f32(w + 4 * i)
            lowered = (load_u8(shifts + group) >> (1 - i % n // WIDTH)) & 1
            q = level(load_u16(points + 2 * (i // WIDTH)), i % WIDTH, not lowered)
            q *= np.float32(2 * load_u8(codes + group) + 1)
            sumqx += weight * q * load_f32(x + 4 * i)
            sumq2 += weight * q * q
        return sumqx / sumq2 if sumq2 > 0 else d

    @part
    def pack(numbers, shifts, codes, d, used, out):
        for group in range(16):
            first, second = load_u16(numbers + 4 * group), load_u16(numbers + 4 * group + 2)
            store_u8(out + 2 * group, first)
            store_u8(out + 2 * group + 1, second)
            byte = first >> 8 | (second >> 8) << 4
            if used:
                shift = load_u8(shifts + group)
                byte |= (shift >> 1) << 3 | (shift & 1) << 7
            store_u8(out + 32 + group, byte)
        half = half_room()
        store_f16(half, d * fudge if used else np.float32(0))
        for k in range(4):
            word = (load_u16(half) >> (4 * k) & 15) << 12
            for i in range(4):
                word |= load_u8(codes + 4 * k + i) << (3 * i)
            store_u16(out + 48 + 2 * k, word)

    @part
    def encode(x, w, s, tables, out):
        scales, codes, d, weights = scales_room(), codes_room(), d_room(), weights_room()
        numbers, points, shifts = numbers_room(), points_room(), shifts_room()
        for block in range(16):
            search(
                tables,
                x + 1024 * block,
                w + 1024 * block if w else 0,
                of_blocks(s, block),
                weights + 1024 * block,
                scales + 64 * block,
                numbers + 64 * block,
                points + 64 * block,
                shifts + 16 * block,
            )
        store_vec(d, quantize_scales(scales, codes))
        for block in range(16):
            scale = load_f32(d + 4 * block)
            used = scale > 0
            if used:
                scale = block_scale(
                    x + 1024 * block,
                    weights + 1024 * block,
                    points + 64 * block,
                    shifts + 16 * block,
                    codes + 16 * block,
                    scale,
                )
            pack(
                numbers + 64 * block,
                shifts + 16 * block,
                codes + 16 * block,
                scale,
                used,
                out + 56 * block,
            )

    return encode
