"""Activations of a quantised product: rounded to 8 bits, in the order that the weights' type wants.

Each group of 32 is scaled by its largest magnitude / 127 and rounded to nearest. The record of
256 (`quants.layouts.Layout`) also holds what the product needs beside the bytes: the scale of
every lane, where the dot starts, and the sums that minima multiply. For panels of words the bytes
stand widened (`words_of`), with a scale per group of 32 behind them.

    args  0 x (f32 [tokens, row])       1 bytes from token to token of x
          2 records                     3 bytes from token to token of records
          4 values per row              5 address of the number of tokens
          6 bytes from step to step of records
"""

import numpy as np
from llvmlite import ir
from numba import njit, types

from zigllm_cli.kernels.share import share
from zigllm_cli.quants.layouts import LAYOUTS, STEP
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import (
    absolute,
    fill,
    lane_maximum,
    maximum,
    splat_f32x16,
    zero_f32x16,
    zero_i32x16,
)
from zigllm_cli.simd.convert import narrow_i8, round_to_i32
from zigllm_cli.simd.dot import build_dot4, dot4, words_of
from zigllm_cli.simd.emit import emit, joined, offset, shuffle, store
from zigllm_cli.simd.memory import load_f32x16, load_i64, masked_loader, store_vec
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.tile import column_of
from zigllm_cli.simd.vector import I32, Tile, f32x8, f32x16, i8x16, i8x64, i32x16, u8x64

STEP_BYTES = Tile(i8x64, 4)
ones = fill(u8x64, 1)
load_first = masked_loader(f32x16)
byte_vectors = tuple(column_of(STEP_BYTES, v) for v in range(4))


@emit(i8x64, i8x16, i8x16, i8x16, i8x16)
def four_of_i8x16(b, *parts):
    """64 bytes of four times sixteen."""
    return joined(b, parts)


@emit(f32x8, *[types.float32] * 8)
def eight_floats(b, *values):
    """Eight scalars side by side."""
    vector = ir.Constant(f32x8.ir, ir.Undefined)
    for lane, value in enumerate(values):
        vector = b.insert_element(vector, value, ir.Constant(I32, lane))
    return vector


def reordered(order):
    """An operation: four vectors in natural order to a tile in a layout's order."""

    def build(b, *natural):
        tile = ir.Constant(STEP_BYTES.ir, ir.Undefined)
        for v in range(4):
            wanted = order[64 * v : 64 * v + 64]
            tile = b.insert_value(tile, _gather(b, natural, wanted), v)
        return tile

    return emit(STEP_BYTES, i8x64, i8x64, i8x64, i8x64)(build)


def _gather(b, natural, wanted):
    """Bytes from anywhere in four vectors: each half by one two-source shuffle, then a blend."""
    if max(wanted) < 128:
        return shuffle(b, natural[0], natural[1], wanted)
    if min(wanted) >= 128:
        return shuffle(b, natural[2], natural[3], [w - 128 for w in wanted])
    low = shuffle(b, natural[0], natural[1], [w if w < 128 else 0 for w in wanted])
    high = shuffle(b, natural[2], natural[3], [w - 128 if w >= 128 else 0 for w in wanted])
    return shuffle(b, low, high, [i if w < 128 else 64 + i for i, w in enumerate(wanted)])


def first_lanes_sums(layout):
    """An operation: lane sums to group sums times -offset, each in its group's first lane."""

    def build(b, sums):
        total = sums
        for k in range(1, layout.lanes):
            moved = shuffle(b, sums, sums, [min(lane + k, 15) for lane in range(16)])
            total = b.add(total, moved)
        factors = [-layout.offset if lane % layout.lanes == 0 else 0 for lane in range(16)]
        return b.mul(total, i32x16.constant(factors))

    return emit(i32x16, i32x16)(build)


def minima_sums(layout):
    """An operation: natural bytes and scales to -scale * sum of each minimum's group."""
    per_group = layout.minima_group // 4

    def build(b, scales, *natural):
        ones_vector = u8x64.constant([1] * 64)
        zero = ir.Constant(i32x16.ir, None)
        quads = [build_dot4(b, zero, ones_vector, v) for v in natural]
        words = joined(b, quads)  # 64 sums of four
        lanes = None
        for k in range(per_group):
            picks = [max(g, 0) * per_group + k for g in layout.minima]
            part = shuffle(b, words, words, picks)
            lanes = part if lanes is None else b.add(lanes, part)
        real = b.sitofp(lanes, f32x16.ir)
        ratio = 32 // layout.minima_group
        each = shuffle(b, scales, scales, [max(g, 0) // ratio for g in layout.minima])
        signs = f32x16.constant([-1.0 if g >= 0 else 0.0 for g in layout.minima])
        return b.fmul(b.fmul(real, each), signs)

    return emit(f32x16, f32x8, i8x64, i8x64, i8x64, i8x64)(build)


@njit(forceinline=True)
def round_group(x, count):
    """32 floats at x, of which the first `count` exist: two vectors of bytes, and the scale."""
    if count >= 32:
        a, b = load_f32x16(x), load_f32x16(x + 64)
    else:
        a, b = load_first(x, count), load_first(x + 64, count - 16)
    largest = lane_maximum(maximum(absolute(a), absolute(b)))
    inverse = splat_f32x16(np.float32(127) / largest if largest > 0 else np.float32(0))
    return narrow_i8(round_to_i32(a * inverse)), narrow_i8(round_to_i32(b * inverse)), largest


@emit(types.void, types.int64, STEP_BYTES)
def store_bytes(b, z, tile):
    """A step's bytes as they are."""
    for v in range(4):
        store(b, offset(b, z, 64 * v), b.extract_value(tile, v), 64)


@emit(types.void, types.int64, STEP_BYTES)
def store_words(b, z, tile):
    """A step's bytes widened to words."""
    for v in range(4):
        for part, words in enumerate(words_of(b, b.extract_value(tile, v))):
            store(b, offset(b, z, 128 * v + 64 * part), words, 64)


def build(name, words=0):
    """The kernel for a weight type's layout, with bytes or with words."""
    layout = LAYOUTS[name]
    into_order = reordered(layout.order)
    group_starts = first_lanes_sums(layout)
    minima = minima_sums(layout) if layout.minima else _no_minima
    lane_scales = [permute(f32x8, groups, f32x16) for groups in layout.lane_groups]

    store_scales = _scale_stores(layout, lane_scales)
    store_starts = _start_stores(layout, group_starts)
    has_minima, has_starts = bool(layout.minima), layout.starts
    minima_at = layout.minima_at

    @njit(forceinline=True)
    def record(x, z, count):
        a0, a1, s0 = round_group(x, count)
        a2, a3, s1 = round_group(x + 128, count - 32)
        b0, b1, s2 = round_group(x + 256, count - 64)
        b2, b3, s3 = round_group(x + 384, count - 96)
        c0, c1, s4 = round_group(x + 512, count - 128)
        c2, c3, s5 = round_group(x + 640, count - 160)
        d0, d1, s6 = round_group(x + 768, count - 192)
        d2, d3, s7 = round_group(x + 896, count - 224)
        scales = scaled(eight_floats(s0, s1, s2, s3, s4, s5, s6, s7))
        v0, v1 = four_of_i8x16(a0, a1, a2, a3), four_of_i8x16(b0, b1, b2, b3)
        v2, v3 = four_of_i8x16(c0, c1, c2, c3), four_of_i8x16(d0, d1, d2, d3)
        t = into_order(v0, v1, v2, v3)
        if words:
            store_words(z, t)
            store_vec(z + 2 * STEP, scales)
            return
        store_bytes(z, t)
        store_scales(z, scales)
        if has_starts:
            store_starts(z, t)
        if has_minima:
            store_vec(z + minima_at, minima(scales, v0, v1, v2, v3))

    @njit(error_model="numpy")
    def quantize_activations(args, thread, threads):
        values, tokens = load_i64(args + 32), load_i64(load_i64(args + 40))
        steps = (values + STEP - 1) // STEP
        first, last = share(tokens * steps, 1, thread, threads)
        for i in range(first, last):
            token, step = i // steps, i % steps
            x = load_i64(args) + token * load_i64(args + 8) + 4 * STEP * step
            z = load_i64(args + 16) + token * load_i64(args + 24) + step * load_i64(args + 48)
            record(x, z, values - STEP * step)

    return quantize_activations


@emit(f32x8, f32x8)
def scaled(b, largest):
    """largest / 127: what a rounded unit is worth."""
    return b.fdiv(largest, ir.Constant(f32x8.ir, [127.0] * 8))


@njit(forceinline=True)
def _no_minima(scales, v0, v1, v2, v3):
    return zero_f32x16()


def _scale_stores(layout, lane_scales):
    at = layout.scales_at
    if layout.chains == 1:
        (one,) = lane_scales

        @njit(forceinline=True)
        def store(z, s):
            store_vec(z + at, one(s))

    elif layout.chains == 2:
        one, two = lane_scales

        @njit(forceinline=True)
        def store(z, s):
            store_vec(z + at, one(s))
            store_vec(z + at + 64, two(s))

    else:
        one, two, three, four = lane_scales

        @njit(forceinline=True)
        def store(z, s):
            store_vec(z + at, one(s))
            store_vec(z + at + 64, two(s))
            store_vec(z + at + 128, three(s))
            store_vec(z + at + 192, four(s))

    return store


def _start_stores(layout, starts):
    at = layout.starts_at
    get0, get1, get2, get3 = byte_vectors
    if layout.chains == 1:

        @njit(forceinline=True)
        def store(z, t):
            u, zero = ones(), zero_i32x16()
            sums = dot4(dot4(zero, u, get0(t)), u, get1(t))
            store_vec(z + at, starts(dot4(dot4(sums, u, get2(t)), u, get3(t))))

    elif layout.chains == 2:

        @njit(forceinline=True)
        def store(z, t):
            u, zero = ones(), zero_i32x16()
            store_vec(z + at, starts(dot4(dot4(zero, u, get0(t)), u, get1(t))))
            store_vec(z + at + 64, starts(dot4(dot4(zero, u, get2(t)), u, get3(t))))

    else:

        @njit(forceinline=True)
        def store(z, t):
            u, zero = ones(), zero_i32x16()
            store_vec(z + at, starts(dot4(zero, u, get0(t))))
            store_vec(z + at + 64, starts(dot4(zero, u, get1(t))))
            store_vec(z + at + 128, starts(dot4(zero, u, get2(t))))
            store_vec(z + at + 192, starts(dot4(zero, u, get3(t))))

    return store
