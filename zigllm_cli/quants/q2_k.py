"""Q2_K: 256 weights of 2 bits in sixteen groups of 16, each with a 4-bit scale and minimum.

    byte   0           16                                  80   82     84
           scales[16]  qs[64]                              d    dmin
           nibbles     two bits of each weight             f16  f16

weight = d * sc * q - dmin * m, sc the low and m the high nibble of the group's byte
"""

from numba import njit

from zigllm_cli.quants.layouts import LAYOUTS
from zigllm_cli.quants.two_bits import two_bits
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import low_nibbles_16, shift_right
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import broadcast_f16, load_u8x16, load_u8x64
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import u8x16

codes = two_bits(4)
by_lane = permute(u8x16, [place // 16 for place in LAYOUTS["Q2_K"].order[:64:4]])
shift_right_4 = shift_right(4)


@njit(forceinline=True)
def weights(p):
    """One block at p: four of the sixteen weights of a group in its lane of each vector."""
    return codes(load_u8x64(p + 16))


@njit(forceinline=True)
def scales(p):
    """d * sc of each lane's group."""
    return (to_f32(by_lane(load_u8x16(p)) & low_nibbles_16()) * broadcast_f16(p + 80),)


@njit(forceinline=True)
def minima(p):
    """dmin * m of group n in lane n."""
    return to_f32(shift_right_4(load_u8x16(p))) * broadcast_f16(p + 82)
