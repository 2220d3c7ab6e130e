"""Q4_1: 32 weights of 4 bits, one scale and one minimum.

    byte   0    2    4                 20
           d    m    qs[16]
           f16  f16  low nibbles: weights 0..15, high nibbles: weights 16..31

weight = d * q + m
"""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import low_nibbles, shift_right_words, zero_f32x16
from zigllm_cli.simd.convert import f16_lanes
from zigllm_cli.simd.memory import strided
from zigllm_cli.simd.shuffle import concat_u8x32
from zigllm_cli.simd.vector import u8x16, u8x32, u8x64

load_four_blocks = strided(u8x64, 4, 20)
load_four_heads = strided(u8x16, 4, 20)
d_of_four = f16_lanes(u8x16, [2 * (lane // 4) for lane in range(16)])
m_of_eight = f16_lanes(u8x32, [2 * (lane // 2) + 1 for lane in range(16)])
shift_right_4 = shift_right_words(4)


@njit(forceinline=True)
def weights(p):
    """Eight blocks at p: low nibbles of four, their high nibbles, the same of the other four."""
    a, b = load_four_blocks(p + 4), load_four_blocks(p + 84)
    low = low_nibbles()
    return a & low, shift_right_4(a) & low, b & low, shift_right_4(b) & low


@njit(forceinline=True)
def scales(p):
    """d of each block, four lanes each."""
    return d_of_four(load_four_heads(p)), d_of_four(load_four_heads(p + 80))


@njit(forceinline=True)
def minima(p):
    """-m of each block, two lanes each."""
    both = concat_u8x32(load_four_heads(p), load_four_heads(p + 80))
    return zero_f32x16() - m_of_eight(both)
