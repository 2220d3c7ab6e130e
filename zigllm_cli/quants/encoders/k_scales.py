"""The scales of the sub-blocks of K-quants, quantised: the block is a lane here.

`scales`, `minima` and `sums` (of weights) are f32 [16 blocks, sub-blocks]; codes leave as bytes in
that order. d and dmin (f32 [16]) are rounded to half floats, as they will be read.
"""

import numpy as np

from zigllm_cli.quants.encoders.lanes import (
    as_half,
    clamp,
    farthest_from_zero,
    nearest,
    one,
    part,
    transpose,
    transpose_to_bytes,
    zero,
)
from zigllm_cli.quants.encoders.searches import epsilon, positive, symmetric
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill, greater, select, splat_f32x16
from zigllm_cli.simd.memory import load_f32x16, stack_room, store_vec
from zigllm_cli.simd.vector import f32x16, i32x16

lanes_room, sums_room, codes_room = (stack_room(64 * 16) for _ in range(3))


def scale_and_minimum(name, weighted):
    """(scales, minima, sums, scale codes, minimum codes, d, dmin) for Q2_K, Q4_K and Q5_K."""
    count, top = (16, 15) if name == "Q2_K" else (8, 63)
    fit = _by_search(count, top) if weighted else _by_largest(count, top)

    @part
    def quantize(scales, minima, sums, scale_codes, minimum_codes, d, dmin):
        weights = sums_room()
        if weighted:
            transpose(sums, 4 * count, weights)
        store_vec(d, fit(scales, weights, scale_codes))
        store_vec(dmin, fit(minima, weights, minimum_codes))

    return quantize


def _by_largest(count, top):
    """The largest number becomes the highest code."""
    bounded, bits = clamp(None, top), fill(i32x16, 255 if top == 63 else top)

    @part
    def fit(numbers, weights, codes):
        x, found = lanes_room(), codes_room()
        transpose(numbers, 4 * count, x)
        peak = zero()
        for i in range(count):
            v = load_f32x16(x + 64 * i)
            peak = select(greater(v, peak), v, peak)
        inverse = splat_f32x16(np.float32(top)) / peak
        inverse = select(greater(peak, zero()), inverse, zero())
        for i in range(count):
            code = nearest(inverse * load_f32x16(x + 64 * i)) & bits()
            store_vec(found + 64 * i, bounded(code))
        transpose_to_bytes(found, codes, count)
        return as_half(peak / splat_f32x16(np.float32(top)))

    return fit


def _by_search(count, top):
    """The codes of least error, weighted by the sums of the sub-blocks' weights."""
    search = positive(count, top)

    @part
    def fit(numbers, weights, codes):
        x, found = lanes_room(), codes_room()
        transpose(numbers, 4 * count, x)
        d = search(x, weights, found)
        transpose_to_bytes(found, codes, count)
        return as_half(d)

    return fit


def signed_scales(name, weighted):
    """(scales, _, sums, scale codes, _, d, _) for Q3_K (codes + 32) and Q6_K (codes + 128)."""
    if name == "Q3_K" and weighted:
        return _signed_by_search(symmetric(16, 32))
    if name == "Q3_K":
        return _signed_by_largest(32, fill(f32x16, float.fromhex("0x1p-149")), 0)
    return _signed_by_largest(128, epsilon, 128)


def _signed_by_search(search):
    @part
    def quantize(scales, minima, sums, scale_codes, minimum_codes, d, dmin):
        x, weights, found = lanes_room(), sums_room(), codes_room()
        transpose(scales, 64, x)
        transpose(sums, 64, weights)
        store_vec(d, as_half(search(x, weights, found)))
        transpose_to_bytes(found, scale_codes, 16)

    return quantize


def _signed_by_largest(levels, least, code_if_empty):
    """The number farthest from zero becomes the lowest code.

    Blocks without a scale of at least `least` are empty; dmin says so with zero.
    """
    empty_code = fill(i32x16, code_if_empty)
    bounded, shift = clamp(-levels, levels - 1), fill(i32x16, levels)

    @part
    def quantize(scales, minima, sums, scale_codes, minimum_codes, d, dmin):
        x, found = lanes_room(), codes_room()
        transpose(scales, 64, x)
        extreme, peak = farthest_from_zero(x, 16)
        inverse = splat_f32x16(np.float32(-levels)) / extreme
        empty = greater(least(), peak)
        for i in range(16):
            code = bounded(nearest(inverse * load_f32x16(x + 64 * i))) + shift()
            store_vec(found + 64 * i, select(empty, empty_code(), code))
        store_vec(d, as_half(select(empty, zero(), one() / inverse)))
        store_vec(dmin, select(empty, zero(), one()))
        transpose_to_bytes(found, scale_codes, 16)

    return quantize
