"""Q1_0: 128 weights of 1 bit, its sign, and one scale.

    byte   0    2                        18
           d    bits[16]
           f16  weight i in bit i % 8 of byte i // 8

weight = d * (2 * bit - 1)
"""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.bits import single_bits
from zigllm_cli.simd.memory import strided, strided_f16
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import u8x32, u8x64

load_two_blocks = strided(u8x32, 2, 18)
load_two_scales = strided_f16(2, 18)
quads_twice = permute(u8x32, [4 * (i // 8) + i % 4 for i in range(64)], u8x64)
# bit 2v of every byte in even lanes and 2v + 1 in odd ones, as bit 1
b0, b1, b2, b3 = (single_bits([2 * v + lane % 2 for lane in range(16)], 1) for v in range(4))


@njit(forceinline=True)
def weights(p):
    """Two blocks at p: bits 0 (even lanes) and 1 (odd ones) of every byte, 2 and 3, ..."""
    q = quads_twice(load_two_blocks(p + 2))
    return b0(q), b1(q), b2(q), b3(q)


@njit(forceinline=True)
def scales(p):
    """d of each block, eight lanes each."""
    return (load_two_scales(p),)
