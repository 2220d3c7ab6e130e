"""NVFP4: 64 floats of 4 bits (E2M1) in four groups of 16, each with an 8-bit float as scale.

    byte   0      4                                36
           d[4]   qs[32]
           UE4M3  8 bytes a group: low nibbles weights 0..7 of it, high nibbles 8..15

weight = d / 2 * level[q], the levels doubled to be whole numbers
"""

from numba import njit

from zigllm_cli.quants.mxfp4 import level, shift_right_4
from zigllm_cli.simd.convert import half_of_e4m3, widen_u8
from zigllm_cli.simd.memory import strided
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import Vec, u8x16, u8x64

u8x8 = Vec("u8", 8)
load_two_blocks = strided(u8x64, 2, 36)
load_eight_scales = strided(u8x8, 2, 36)
twice = permute(u8x8, [lane // 2 for lane in range(16)], u8x16)


@njit(forceinline=True)
def weights(p):
    """Four blocks at p: low nibbles of two, their high nibbles, the same of the other two."""
    a, b = load_two_blocks(p + 4), load_two_blocks(p + 76)
    return level(a), level(shift_right_4(a)), level(b), level(shift_right_4(b))


@njit(forceinline=True)
def scales(p):
    """d / 2 of the groups of two blocks, two lanes each, and of the other two."""
    return (
        half_of_e4m3(widen_u8(twice(load_eight_scales(p)))),
        half_of_e4m3(widen_u8(twice(load_eight_scales(p + 72)))),
    )
