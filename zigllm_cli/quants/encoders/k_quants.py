"""Q2_K to Q6_K: 256 values in sub-blocks of 16 or 32, whose scales are quantised themselves.

Three passes over sixteen blocks:

    search    each sub-block for itself: its scale (and minimum) of least weighted error
    scales    those of a block to a few bits each, times one or two half floats
    round     the values once more, with the scales as they will be read
"""

import numpy as np

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants.encoders import k_bytes
from zigllm_cli.quants.encoders.k_scales import scale_and_minimum, signed_scales
from zigllm_cli.quants.encoders.lanes import (
    clamp,
    codes_out,
    is_nonzero,
    lanes_in,
    load_bytes,
    nearest,
    part,
    per_block,
    squares_in,
    sum_in_order,
    sum_of_squares,
    weigh,
)
from zigllm_cli.quants.encoders.searches import by_squares, symmetric, with_minimum
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import absolute, fill, select, splat_f32x16, square_root
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import (
    load_f32,
    load_f32x16,
    load_i32x16,
    stack_room,
    store_vec,
)
from zigllm_cli.simd.vector import f32x16, i32x16

BLOCK = 256
SUB_BLOCK = {"Q2_K": 16, "Q3_K": 16, "Q4_K": 32, "Q5_K": 32, "Q6_K": 16}
BITS = {"Q2_K": 2, "Q3_K": 3, "Q4_K": 4, "Q5_K": 5, "Q6_K": 6}
values_room, codes_room = stack_room(64 * BLOCK), stack_room(64 * BLOCK)
weights_room, bytes_room = stack_room(64 * 32), stack_room(16 * BLOCK)
# per sub-block of 16 blocks, at most 16 each; 64 bytes behind are read in vain
scales_room, minima_room, sums_room = (stack_room(4 * 256 + 64) for _ in range(3))
scale_codes_room, minimum_codes_room = stack_room(256 + 16), stack_room(256 + 16)
d_room, dmin_room = stack_room(64), stack_room(64)


def encoder(name, weighted):
    """See `encoders`."""
    n, bits = SUB_BLOCK[name], BITS[name]
    has_minimum = name in ("Q2_K", "Q4_K", "Q5_K")
    groups = BLOCK // n  # of sixteen sub-blocks, in sixteen blocks; also sub-blocks of a block
    block_bytes, pack = tensor_type(name).block_bytes, k_bytes.PACK[name]
    search = _search(name, weighted)
    make_weights = _weights(name, weighted)
    quantize_scales = (scale_and_minimum if has_minimum else signed_scales)(name, weighted)
    of_blocks = per_block(n)
    round_again = _round_with_minimum(n, bits) if has_minimum else _round_signed(n, bits)

    @part
    def encode(x, w, s, tables, out):
        values, codes, natural = values_room(), codes_room(), bytes_room()
        scales, minima, sums, weights = scales_room(), minima_room(), sums_room(), weights_room()
        for group in range(groups):
            at = 64 * n * group
            lanes_in(x + at, n, values + at)
            if w:
                lanes_in(w + at, n, weights)
            make_weights(values + at, weights, of_blocks(s, group), w)
            if weighted:
                store_vec(sums + 64 * group, sum_in_order(weights, n))
            scale, minimum = search(values + at, weights, codes + at)
            store_vec(scales + 64 * group, scale)
            store_vec(minima + 64 * group, minimum)
        d, dmin = d_room(), dmin_room()
        scale_codes, minimum_codes = scale_codes_room(), minimum_codes_room()
        quantize_scales(scales, minima, sums, scale_codes, minimum_codes, d, dmin)
        for group in range(groups):
            at = 64 * n * group
            scale = load_bytes(scale_codes + 16 * group)
            minimum = load_bytes(minimum_codes + 16 * group)
            round_again(
                values + at,
                codes + at,
                of_blocks(d, group),
                scale,
                of_blocks(dmin, group),
                minimum,
            )
            codes_out(codes + at, n, natural + 16 * n * group)
        for block in range(16):
            pack(
                natural + BLOCK * block,
                scale_codes + groups * block,
                minimum_codes + groups * block,
                load_f32(d + 4 * block),
                load_f32(dmin + 4 * block),
                out + block_bytes * block,
            )

    return encode


# ------------------------------------------------------------------ weights and searches


def _weights(name, weighted):
    """A function (x, weights, mean square of the block, whether importance is given).

    Weights are made in place of the importance, or from nothing.
    """
    n = SUB_BLOCK[name]
    factor = fill(f32x16, 1.0 if name == "Q2_K" else 2.0)

    if name == "Q6_K":

        @part
        def make(x, w, mean_square, given):
            if not given:
                squares_in(x, w, n)

    elif weighted:

        @part
        def make(x, w, mean_square, given):
            weigh(x, w, factor() * mean_square, n)

    elif n == 32:

        @part
        def make(x, w, mean_square, given):
            average = square_root(sum_of_squares(x, n) / splat_f32x16(np.float32(n)))
            for i in range(n):
                store_vec(w + 64 * i, average + absolute(load_f32x16(x + 64 * i)))

    else:

        @part
        def make(x, w, mean_square, given):
            for i in range(n):
                store_vec(w + 64 * i, absolute(load_f32x16(x + 64 * i)))

    return make


def _search(name, weighted):
    """The search (x, w, codes) -> (scale, minimum) of a sub-block."""
    n, bits = SUB_BLOCK[name], BITS[name]
    if name in ("Q2_K", "Q4_K", "Q5_K"):
        if weighted:
            return with_minimum(n, (1 << bits) - 1, -0.9, 0.05, 36, False)
        first, steps = {"Q2_K": (-0.5, 15), "Q4_K": (-1.0, 20), "Q5_K": (-0.5, 15)}[name]
        return with_minimum(n, (1 << bits) - 1, first, 0.1, steps, name == "Q2_K")
    if name == "Q3_K" and not weighted:
        search = by_squares(n, 4)

        @part
        def found(x, w, codes):
            scale = search(x, codes)
            return scale, scale

    else:
        search_weighted = symmetric(n, 1 << (bits - 1))

        @part
        def found(x, w, codes):
            scale = search_weighted(x, w, codes)
            return scale, scale

    return found


# ------------------------------------------------------------------ rounding with the final scales


def _round_with_minimum(n, bits):
    bounded = clamp(0, (1 << bits) - 1)

    @part
    def round_again(x, codes, d, scale, dmin, minimum):
        step, low = d * to_f32(scale), dmin * to_f32(minimum)
        used = is_nonzero(step)
        for i in range(n):
            code = bounded(nearest((load_f32x16(x + 64 * i) + low) / step))
            store_vec(codes + 64 * i, select(used, code, load_i32x16(codes + 64 * i)))

    return round_again


def _round_signed(n, bits):
    """Scale codes are stored 32 (Q3_K) or 128 (Q6_K) above what they mean."""
    levels = 1 << (bits - 1)
    bounded, shift = clamp(-levels, levels - 1), fill(i32x16, levels)
    above = fill(i32x16, 32 if bits == 3 else 128)

    @part
    def round_again(x, codes, d, scale, dmin, minimum):
        step = d * to_f32(scale - above())
        used = is_nonzero(step)
        for i in range(n):
            code = bounded(nearest(load_f32x16(x + 64 * i) / step)) + shift()
            store_vec(codes + 64 * i, select(used, code, load_i32x16(codes + 64 * i)))

    return round_again
