"""IQ4_NL and IQ4_XS: codes for sixteen levels that are denser around zero.

Fifteen scales around the one that maps the value farthest from zero to an end are tried. IQ4_NL
has a scale per 32 values; in IQ4_XS eight of them share a half float and have six bits each.
"""

from itertools import pairwise

import numpy as np

from zigllm_cli.quants.encoders.lanes import (
    clamp,
    codes_out,
    farthest_from_zero,
    half_bits_of,
    lanes_in,
    load_bytes,
    nearest,
    negative,
    part,
    per_block,
    reciprocal_or_zero,
    squares_in,
    transpose,
    transpose_to_bytes,
    weigh,
    zero,
)
from zigllm_cli.quants.encoders.plain import pack_four
from zigllm_cli.quants.encoders.searches import epsilon
from zigllm_cli.quants.levels import NON_LINEAR
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill, greater, select, splat_f32x16
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.memory import (
    load_f32x16,
    load_u8,
    stack_room,
    store_u8,
    store_u16,
    store_vec,
)
from zigllm_cli.simd.vector import f32x16, i32x16

N = 32
TRIES = 7
LOWEST = np.float32(NON_LINEAR[0])
MIDDLES = [(low + high) / 2 for low, high in pairwise(NON_LINEAR)]
values_room, weights_room, codes_room = (stack_room(64 * N) for _ in range(3))
bytes_room, two = stack_room(16 * N), fill(f32x16, 2.0)


@emit(f32x16, f32x16)
def nearest_level(b, v):
    """The level nearest to each lane, the higher of two as near; NaN counts as highest."""
    level = f32x16.constant([NON_LINEAR[0]] * 16)
    for k, middle in enumerate(MIDDLES):
        passed = b.fcmp_unordered(">=", v, f32x16.constant([middle] * 16))
        step = f32x16.constant([NON_LINEAR[k + 1] - NON_LINEAR[k]] * 16)
        level = b.fadd(level, b.select(passed, step, f32x16.constant([0.0] * 16)))
    return level


@emit(i32x16, f32x16)
def nearest_code(b, v):
    """Which level that is."""
    code = i32x16.constant([0] * 16)
    for middle in MIDDLES:
        passed = b.fcmp_unordered(">=", v, f32x16.constant([middle] * 16))
        code = b.sub(code, b.sext(passed, i32x16.ir))
    return code


@part
def sums(x, w, inverse):
    """Of weight * level * x and weight * level^2."""
    sumqx = sumq2 = zero()
    for i in range(N):
        v, weight = load_f32x16(x + 64 * i), load_f32x16(w + 64 * i)
        level = nearest_level(inverse * v)
        sumqx = sumqx + weight * level * v
        sumq2 = sumq2 + weight * level * level
    return sumqx, sumq2


@part
def search(x, w):
    """The scale of least weighted error for sixteen groups of 32."""
    extreme, peak = farthest_from_zero(x, N)
    first = negative(extreme) / splat_f32x16(LOWEST)
    sumqx, sumq2 = sums(x, w, splat_f32x16(np.float32(1)) / first)
    scale = select(greater(sumq2, zero()), sumqx / sumq2, zero())
    best = scale * sumqx
    for step in range(-TRIES, TRIES + 1):
        sumqx, sumq2 = sums(x, w, splat_f32x16(np.float32(step) + LOWEST) / extreme)
        better = greater(sumq2, zero()) & greater(sumqx * sumqx, best * sumq2)
        found = sumqx / sumq2
        scale = select(better, found, scale)
        best = select(better, found * sumqx, best)
    return select(greater(epsilon(), peak), zero(), scale)


@part
def assign(x, inverse, codes):
    """The codes with a final scale."""
    for i in range(N):
        store_vec(codes + 64 * i, nearest_code(inverse * load_f32x16(x + 64 * i)))


@part
def make_weights(x, w, mean_square, given):
    """Importance becomes weights in place; without it they are the squares."""
    if given:
        weigh(x, w, two() * mean_square, N)
    else:
        squares_in(x, w, N)


def encoder(name, weighted):
    """See `encoders`."""
    return _iq4_nl() if name == "IQ4_NL" else _iq4_xs()


def _iq4_nl():
    """A half float and 16 bytes of nibbles."""

    @part
    def encode(x, w, s, tables, out):
        values, weights, codes, natural = values_room(), weights_room(), codes_room(), bytes_room()
        lanes_in(x, N, values)
        if w:
            lanes_in(w, N, weights)
        make_weights(values, weights, load_f32x16(s), w)
        scale = search(values, weights)
        assign(values, reciprocal_or_zero(scale), codes)
        codes_out(codes, N, natural)
        for block in range(16):
            store_u16(out + 18 * block, half_bits_of(scale, block))
            pack_four(natural + N * block, out + 18 * block + 2)

    return encode


def _iq4_xs():
    """A half float, upper two bits and lower four of eight scales, eight times 16 bytes."""
    of_blocks = per_block(N)
    all_values_room, scales_room, scale_codes_room = (
        stack_room(64 * 256),
        stack_room(4 * 128 + 64),
        stack_room(128 + 16),
    )
    d_room = stack_room(64)

    @part
    def encode(x, w, s, tables, out):
        values, weights, codes, natural = (
            all_values_room(),
            weights_room(),
            codes_room(),
            bytes_room(),
        )
        scales, scale_codes, d = scales_room(), scale_codes_room(), d_room()
        for pair in range(8):
            at = 64 * N * pair
            lanes_in(x + at, N, values + at)
            if w:
                lanes_in(w + at, N, weights)
            make_weights(values + at, weights, of_blocks(s, pair), w)
            store_vec(scales + 64 * pair, search(values + at, weights))
        store_vec(d, quantize_scales(scales, scale_codes))
        for pair in range(8):
            code = load_bytes(scale_codes + 16 * pair) - thirty_two()
            inverse = reciprocal_or_zero(of_blocks(d, pair) * to_f32(code))
            assign(values + 64 * N * pair, inverse, codes)
            codes_out(codes, N, natural)
            for i in range(16):
                start = out + 136 * (2 * pair + i // 8)
                pack_four(natural + N * i, start + 8 + 16 * (i % 8))
        d_bits = load_f32x16(d)
        for block in range(16):
            start = out + 136 * block
            store_u16(start, half_bits_of(d_bits, block))
            pack_scales(scale_codes + 8 * block, start + 2)

    return encode


lanes_room, found_room = stack_room(64 * 16), stack_room(64 * 16)
bounded, thirty_two = clamp(-32, 31), fill(i32x16, 32)


@part
def quantize_scales(scales, codes):
    """f32 [16 blocks, 8] to bytes, 32 above what they mean; returns the scale of each block."""
    x, found = lanes_room(), found_room()
    transpose(scales, 32, x)
    extreme, _ = farthest_from_zero(x, 8)
    d = negative(extreme) / splat_f32x16(np.float32(32))
    inverse = reciprocal_or_zero(d)
    for i in range(8):
        code = bounded(nearest(inverse * load_f32x16(x + 64 * i))) + thirty_two()
        store_vec(found + 64 * i, code)
    transpose_to_bytes(found, codes, 8)
    return d


@part
def pack_scales(codes, out):
    """Eight scales of six bits: the upper two in a word, the lower four in four bytes."""
    word = 0
    for i in range(8):
        word |= (load_u8(codes + i) >> 4) << (2 * i)
    store_u16(out, word)
    for i in range(4):
        store_u8(out + 2 + i, load_u8(codes + 2 * i) & 15 | (load_u8(codes + 2 * i + 1) & 15) << 4)
