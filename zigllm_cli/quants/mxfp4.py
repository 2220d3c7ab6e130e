"""MXFP4: 32 floats of 4 bits (E2M1) and a power of two (OCP Microscaling Formats, 2023).

    byte   0     1                 17
           e     qs[16]
           E8M0  low nibbles: weights 0..15, high nibbles: weights 16..31

weight = 2^(e - 128) * level[q], the levels doubled to be whole numbers
"""

from numba import njit

from zigllm_cli.quants.levels import E2M1
from zigllm_cli.simd.arithmetic import shift_right_words
from zigllm_cli.simd.convert import half_of_e8m0
from zigllm_cli.simd.lookup import lookup16
from zigllm_cli.simd.memory import strided, strided_u8
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import f32x16, u8x64

load_four_blocks = strided(u8x64, 4, 17)
load_eight_exponents = strided_u8(8, 17)
first_four = permute(f32x16, [2 * (lane // 4) for lane in range(16)])
last_four = permute(f32x16, [8 + 2 * (lane // 4) for lane in range(16)])
shift_right_4 = shift_right_words(4)
level = lookup16([12 + level for level in E2M1])


@njit(forceinline=True)
def weights(p):
    """Eight blocks at p: low nibbles of four, their high nibbles, the same of the other four."""
    a, b = load_four_blocks(p + 1), load_four_blocks(p + 69)
    return level(a), level(shift_right_4(a)), level(b), level(shift_right_4(b))


@njit(forceinline=True)
def scales(p):
    """The power of two of each block, halved, four lanes each."""
    eight = half_of_e8m0(load_eight_exponents(p))
    return first_four(eight), last_four(eight)
