"""IQ4_XS: 256 weights of IQ4_NL's levels in eight sub-blocks of 32, each with a 6-bit scale.

    byte   0    2         4            8                            136
           d    scales_h  scales_l[4]  qs[128]
           f16  u16       nibbles      16 bytes per sub-block as in IQ4_NL

    scales_l  lower four bits of the scales, sub-block n in nibble n
    scales_h  upper two bits, sub-block n in bits 2n, 2n + 1

weight = d * (scale - 32) * level[q]
"""

from numba import njit

from zigllm_cli.quants.iq4_nl import level, shift_right_4
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill
from zigllm_cli.simd.bits import bit_windows_u8x16
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import broadcast_f16, load_u8x8_twice, load_u8x64
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import f32x16, u8x16

# of the first eight bytes: nibbles of scales_l, pairs of bits of scales_h at bits 4-5
lower_bits = bit_windows_u8x16([32 + 4 * n for n in range(8)] * 2)
upper_bits = bit_windows_u8x16([16 + 2 * n - 4 for n in range(8)] * 2)
lower_mask, upper_mask = fill(u8x16, 15), fill(u8x16, 0x30)
thirty_two = fill(f32x16, 32)
first_four = permute(f32x16, [lane // 4 for lane in range(16)])
last_four = permute(f32x16, [4 + lane // 4 for lane in range(16)])


@njit(forceinline=True)
def weights(p):
    """One block at p: low nibbles of four sub-blocks, their high ones, the other four's."""
    a, b = load_u8x64(p + 8), load_u8x64(p + 72)
    return level(a), level(shift_right_4(a)), level(b), level(shift_right_4(b))


@njit(forceinline=True)
def scales(p):
    """d * (scale - 32) of each sub-block, four lanes each."""
    head = load_u8x8_twice(p)
    six = (lower_bits(head) & lower_mask()) | (upper_bits(head) & upper_mask())
    eight = (to_f32(six) - thirty_two()) * broadcast_f16(p)
    return first_four(eight), last_four(eight)
