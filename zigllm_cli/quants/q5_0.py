"""Q5_0: 32 weights of 5 bits and one scale.

    byte   0    2      6                 22
           d    qh[4]  qs[16]
           f16  bits   low nibbles: weights 0..15, high nibbles: weights 16..31

weight = d * (q - 16); bit i of qh is the fifth bit of weight i
"""

from numba import njit

from zigllm_cli.quants.fifth_bits import five_bits
from zigllm_cli.simd.convert import f16_lanes
from zigllm_cli.simd.memory import strided
from zigllm_cli.simd.vector import u8x32, u8x64

load_four_blocks = strided(u8x64, 4, 22)
load_four_heads = strided(u8x32, 4, 22)  # 8 bytes each
d_of_four = f16_lanes(u8x32, [4 * (lane // 4) for lane in range(16)])
five = five_bits(2)


@njit(forceinline=True)
def weights(p):
    """Eight blocks at p: low nibbles of four, their high nibbles, the same of the other four."""
    a, b = five(load_four_blocks(p + 6), load_four_heads(p))
    c, d = five(load_four_blocks(p + 94), load_four_heads(p + 88))
    return a, b, c, d


@njit(forceinline=True)
def scales(p):
    """d of each block, four lanes each."""
    return d_of_four(load_four_heads(p)), d_of_four(load_four_heads(p + 88))
