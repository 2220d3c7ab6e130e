"""Q5_1: 32 weights of 5 bits, one scale and one minimum.

    byte   0    2    4      8                 24
           d    m    qh[4]  qs[16]
           f16  f16  bits   low nibbles: weights 0..15, high nibbles: weights 16..31

weight = d * q + m; bit i of qh is the fifth bit of weight i
"""

from numba import njit

from zigllm_cli.quants.fifth_bits import five_bits
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import zero_f32x16
from zigllm_cli.simd.convert import f16_lanes
from zigllm_cli.simd.memory import strided
from zigllm_cli.simd.shuffle import concat_u8x64
from zigllm_cli.simd.vector import u8x32, u8x64

load_four_blocks = strided(u8x64, 4, 24)
load_four_heads = strided(u8x32, 4, 24)  # 8 bytes each
d_of_four = f16_lanes(u8x32, [4 * (lane // 4) for lane in range(16)])
m_of_eight = f16_lanes(u8x64, [4 * (lane // 2) + 1 for lane in range(16)])
five = five_bits(4)


@njit(forceinline=True)
def weights(p):
    """Eight blocks at p: low nibbles of four, their high nibbles, the same of the other four."""
    a, b = five(load_four_blocks(p + 8), load_four_heads(p))
    c, d = five(load_four_blocks(p + 104), load_four_heads(p + 96))
    return a, b, c, d


@njit(forceinline=True)
def scales(p):
    """d of each block, four lanes each."""
    return d_of_four(load_four_heads(p)), d_of_four(load_four_heads(p + 96))


@njit(forceinline=True)
def minima(p):
    """-m of each block, two lanes each."""
    both = concat_u8x64(load_four_heads(p), load_four_heads(p + 96))
    return zero_f32x16() - m_of_eight(both)
