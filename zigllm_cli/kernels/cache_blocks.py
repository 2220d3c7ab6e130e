"""A block of 64 cached positions as float32, for `attention`.

Attention widens each block once and then uses it for every query that sees it, so all types of
cache meet the same arithmetic. Keys become [dimension][64 positions], values [position][dimension].
"""

from zigllm_cli.kernels.cache_layout import BYTES, GROUP, GROUP_BYTES, PANEL
from zigllm_cli.kernels.inline import part
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill
from zigllm_cli.simd.convert import bf16_to_f32, f16_to_f32, to_f32
from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.memory import (
    broadcast_f16,
    load_f32x16,
    load_i8x16,
    load_u8x16,
    load_u16x16,
    store_vec,
)
from zigllm_cli.simd.vector import f32x16, u8x16

BLOCK = 64
"""Positions of a block."""

K_ROW = 4 * BLOCK
"""Bytes from dimension to dimension of a block's keys."""

Q8_BYTES, Q4_BYTES = GROUP_BYTES["q8_0"], GROUP_BYTES["q4_0"]

eight = fill(f32x16, 8.0)


@emit(u8x16, u8x16)
def low_nibbles(b, v):
    """The low half of each byte."""
    return b.and_(v, u8x16.constant([15] * 16))


@emit(u8x16, u8x16)
def high_nibbles(b, v):
    """The high half of each byte."""
    return b.lshr(v, u8x16.constant([4] * 16))


@part
def load_f16(p):
    return f16_to_f32(load_u16x16(p))


@part
def load_bf16(p):
    return bf16_to_f32(load_u16x16(p))


LOADS = {"f32": load_f32x16, "f16": load_f16, "bf16": load_bf16}


def float_keys(kv_type):
    """A Numba function (panel, target, dimensions): widen a panel of a type of floats."""
    load, step = LOADS[kv_type], PANEL * BYTES[kv_type]

    @part
    def unpack(panel, target, count):
        for _ in range(count):
            store_vec(target, load(panel))
            panel, target = panel + step, target + K_ROW

    return unpack


def float_values(kv_type):
    """A Numba function (row, target, dimensions): widen a row of a type of floats."""
    load, size = LOADS[kv_type], BYTES[kv_type]

    @part
    def unpack(row, target, count):
        for d in range(0, count, 16):
            store_vec(target + 4 * d, load(row + size * d))

    return unpack


@part
def eight_bit_keys(panel, target, count):
    """Widen a panel of q8_0."""
    for _ in range(0, count, GROUP):
        scales = f16_to_f32(load_u16x16(panel))
        panel += 2 * PANEL
        for _ in range(GROUP):
            store_vec(target, to_f32(load_i8x16(panel)) * scales)
            panel, target = panel + PANEL, target + K_ROW


@part
def eight_bit_values(row, target, count):
    """Widen a row of q8_0."""
    for _ in range(0, count, GROUP):
        scale = broadcast_f16(row)
        store_vec(target, to_f32(load_i8x16(row + 2)) * scale)
        store_vec(target + 64, to_f32(load_i8x16(row + 18)) * scale)
        row, target = row + Q8_BYTES, target + 4 * GROUP


@part
def four_bit_keys(panel, target, count):
    """Widen a panel of q4_0."""
    for _ in range(0, count, GROUP):
        scales = f16_to_f32(load_u16x16(panel))
        panel += 2 * PANEL
        for _ in range(GROUP // 2):
            codes = load_u8x16(panel)
            low, high = to_f32(low_nibbles(codes)), to_f32(high_nibbles(codes))
            store_vec(target, (low - eight()) * scales)
            store_vec(target + K_ROW * GROUP // 2, (high - eight()) * scales)
            panel, target = panel + PANEL, target + K_ROW
        target += K_ROW * GROUP // 2


@part
def four_bit_values(row, target, count):
    """Widen a row of q4_0."""
    for _ in range(0, count, GROUP):
        scale, codes = broadcast_f16(row), load_u8x16(row + 2)
        low, high = to_f32(low_nibbles(codes)), to_f32(high_nibbles(codes))
        store_vec(target, (low - eight()) * scale)
        store_vec(target + 64, (high - eight()) * scale)
        row, target = row + Q4_BYTES, target + 4 * GROUP


def unpack_keys(kv_type):
    """A Numba function (panel, target, dimensions): 16 keys into their lanes of a block."""
    return {"q8_0": eight_bit_keys, "q4_0": four_bit_keys}.get(kv_type) or float_keys(kv_type)


def unpack_values(kv_type):
    """A Numba function (row, target, dimensions): one position's values."""
    return {"q8_0": eight_bit_values, "q4_0": four_bit_values}.get(kv_type) or float_values(kv_type)
