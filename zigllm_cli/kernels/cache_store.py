"""Keys and values of the batch's tokens into the cache, in its types (`cache_layout`).

args  0 keys (f32 [n, kv heads * head dim])     1 bytes from token to token
      2 values (f32 [n, kv heads * value dim])  3 bytes from token to token
      4 kv heads                    5 head dim
      6 value dim                   7 cache of keys
      8 bytes from sequence to sequence         9 bytes from head to head
     10 cache of values            11 bytes from sequence to sequence
     12 bytes from head to head    13 state
"""

import numpy as np
from llvmlite import ir
from numba import njit, types

from zigllm_cli.kernels.cache_layout import BYTES, GROUP, GROUP_BYTES, PANEL
from zigllm_cli.kernels.edges import load_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import POSITIONS, SEQUENCES, TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import (
    absolute,
    fill,
    lane_maximum,
    maximum,
    minimum,
    splat_f32x16,
    zero_f32x16,
)
from zigllm_cli.simd.convert import f32_to_bf16, f32_to_f16, narrow_i8, round_to_i32, store_f16
from zigllm_cli.simd.emit import emit, emit_for, offset, store
from zigllm_cli.simd.memory import load_i64, store_vec
from zigllm_cli.simd.vector import Vec, f32x16, i8x16, i32x16

eight_and_a_half, fifteen = fill(f32x16, 8.5), fill(f32x16, 15.0)


@emit(f32x16, f32x16)
def same(b, v):
    """Nothing changed."""
    return v


@emit(i8x16, f32x16, f32x16)
def nibbles(b, low, high):
    """Two vectors of numbers 0..15.99, their fractions dropped, as halves of bytes."""
    shift = ir.Constant(i32x16.ir, [ir.Constant(ir.IntType(32), 4)] * 16)
    both = b.or_(b.fptosi(low, i32x16.ir), b.shl(b.fptosi(high, i32x16.ir), shift))
    return b.trunc(both, i8x16.ir)


def scatter(stride):
    """An operation (address, vector): its lanes `stride` bytes apart."""

    @emit_for(types.Integer, Vec)
    def scattered(_address, vec):
        def build(b, p, v):
            for lane in range(vec.lanes):
                one = b.extract_element(v, ir.Constant(ir.IntType(32), lane))
                store(b, offset(b, p, stride * lane), one)

        return types.void, build

    return scattered


@emit_for(types.Integer, Vec, types.Integer)
def store_lane(_address, vec, _lane):
    """Store one lane, chosen when the kernel runs."""

    def build(b, p, v, lane):
        store(b, p, b.extract_element(v, b.trunc(lane, ir.IntType(32))))

    return types.void, build


@part
def eight_bit(x, count):
    """32 floats of which `count` exist: codes in two vectors, and the scale (q8_0)."""
    a, b = load_part(x, count), load_part(x + 64, count - 16)
    scale = lane_maximum(maximum(absolute(a), absolute(b))) / np.float32(127)
    inverse = splat_f32x16(np.float32(1) / scale if scale != 0 else np.float32(0))
    return narrow_i8(round_to_i32(a * inverse)), narrow_i8(round_to_i32(b * inverse)), scale


@part
def four_bit(x, count):
    """32 floats of which `count` exist: codes in the nibbles of a vector, and the scale (q4_0)."""
    a, b = load_part(x, count), load_part(x + 64, count - 16)
    high = lane_maximum(maximum(a, b))
    low = lane_maximum(zero_f32x16() - minimum(a, b))
    scale = (high if high >= low else -low) / np.float32(-8)
    inverse = splat_f32x16(np.float32(1) / scale if scale != 0 else np.float32(0))
    a = minimum(a * inverse + eight_and_a_half(), fifteen())
    b = minimum(b * inverse + eight_and_a_half(), fifteen())
    return nibbles(a, b), scale


def float_stores(kv_type):
    """(store a key, store a value) for a type of floats."""
    narrow = {"f32": same, "f16": f32_to_f16, "bf16": f32_to_bf16}[kv_type]
    size = BYTES[kv_type]
    step = PANEL * size
    spread = scatter(step)

    @part
    def store_key(x, panel, lane, count):
        p = panel + size * lane
        for i in range(0, count, 16):
            v = narrow(load_part(x + 4 * i, count - i))
            if count - i >= 16:
                spread(p + step * i, v)
            else:
                for j in range(count - i):
                    store_lane(p + step * (i + j), v, j)

    @part
    def store_value(x, row, count):
        for i in range(0, count, 16):
            store_vec(row + size * i, narrow(load_part(x + 4 * i, count - i)))

    return store_key, store_value


def eight_bit_stores():
    """(store a key, store a value) for q8_0."""
    spread = scatter(PANEL)
    size = GROUP_BYTES["q8_0"]

    @part
    def store_key(x, panel, lane, count):
        p = panel
        for i in range(0, count, GROUP):
            low, high, scale = eight_bit(x + 4 * i, count - i)
            store_f16(p + 2 * lane, scale)
            spread(p + 2 * PANEL + lane, low)
            spread(p + 18 * PANEL + lane, high)
            p += PANEL * size

    @part
    def store_value(x, row, count):
        for i in range(0, count, GROUP):
            low, high, scale = eight_bit(x + 4 * i, count - i)
            store_f16(row, scale)
            store_vec(row + 2, low)
            store_vec(row + 18, high)
            row += size

    return store_key, store_value


def four_bit_stores():
    """(store a key, store a value) for q4_0."""
    spread = scatter(PANEL)
    size = GROUP_BYTES["q4_0"]

    @part
    def store_key(x, panel, lane, count):
        p = panel
        for i in range(0, count, GROUP):
            codes, scale = four_bit(x + 4 * i, count - i)
            store_f16(p + 2 * lane, scale)
            spread(p + 2 * PANEL + lane, codes)
            p += PANEL * size

    @part
    def store_value(x, row, count):
        for i in range(0, count, GROUP):
            codes, scale = four_bit(x + 4 * i, count - i)
            store_f16(row, scale)
            store_vec(row + 2, codes)
            row += size

    return store_key, store_value


def stores(kv_type):
    """(store a key, store a value) for a type of the cache."""
    if kv_type in BYTES:
        return float_stores(kv_type)
    return {"q8_0": eight_bit_stores, "q4_0": four_bit_stores}[kv_type]()


def sizes(kv_type):
    """(values per unit, bytes of a unit): what a key takes per unit of its dimensions."""
    return (1, BYTES[kv_type]) if kv_type in BYTES else (GROUP, GROUP_BYTES[kv_type])


def row_sizes(kv_type):
    """As `sizes`, for a row of values."""
    return (16, 16 * BYTES[kv_type]) if kv_type in BYTES else (GROUP, GROUP_BYTES[kv_type])


def build(k_type, v_type):
    """The kernel for a type of keys and a type of values."""
    store_key, store_value = stores(k_type)[0], stores(v_type)[1]
    (k_unit, k_bytes), (v_unit, v_bytes) = sizes(k_type), row_sizes(v_type)

    @njit(error_model="numpy")
    def cache_store(args, thread, threads):
        heads, k_dim, v_dim = load_i64(args + 32), load_i64(args + 40), load_i64(args + 48)
        panel_bytes = PANEL * k_bytes * ((k_dim + k_unit - 1) // k_unit)
        row_bytes = v_bytes * ((v_dim + v_unit - 1) // v_unit)
        state = load_i64(args + 104)
        k_head, v_head = load_i64(args + 72), load_i64(args + 96)
        first, last = share(load_i64(state + 8 * TOKENS) * heads, 1, thread, threads)
        while first < last:
            token, head = first // heads, first % heads
            stop = min(heads, head + last - first)
            position = load_i64(load_i64(state + 8 * POSITIONS) + 8 * token)
            sequence = load_i64(load_i64(state + 8 * SEQUENCES) + 8 * token)
            k = load_i64(args) + token * load_i64(args + 8)
            v = load_i64(args + 16) + token * load_i64(args + 24)
            keys = load_i64(args + 56) + sequence * load_i64(args + 64)
            rows = load_i64(args + 80) + sequence * load_i64(args + 88)
            panel, row = keys + position // PANEL * panel_bytes, rows + position * row_bytes
            for h in range(head, stop):
                store_key(k + 4 * k_dim * h, panel + h * k_head, position % PANEL, k_dim)
                store_value(v + 4 * v_dim * h, row + h * v_head, v_dim)
            first += stop - head

    return cache_store
