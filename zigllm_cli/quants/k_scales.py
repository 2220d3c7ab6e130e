"""The header that Q4_K and Q5_K share: d, dmin and twelve bytes of 6-bit scales and minima."""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import const
from zigllm_cli.simd.bits import shift_right_quads_u8x16
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import load_u8x16, pair_of_f16
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import u8x16

# Bytes 4..15 of the block, four each, where sc0-3, sc4-7, m0-3, m4-7 have their lower bits, and
# where sc4-7 and m4-7 have their upper ones.
lower = permute(u8x16, [4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])
upper = permute(u8x16, [4, 5, 6, 7, 4, 5, 6, 7, 8, 9, 10, 11, 8, 9, 10, 11])
lower_down = shift_right_quads_u8x16([0, 0, 0, 4])
upper_down = shift_right_quads_u8x16([2, 2, 2, 2])
lower_mask = const(u8x16, ([63] * 4 + [15] * 4) * 2)
upper_mask = const(u8x16, ([0] * 4 + [0x30] * 4) * 2)
load_d_dmin = pair_of_f16(8)


@njit(forceinline=True)
def scales_and_minima(p):
    """d * sc0..7 in lanes 0..7 and dmin * m0..7 in lanes 8..15.

    All sixteen at once: decoded one by one they take longer than the rest of the block.
    """
    s = load_u8x16(p)
    six = (lower_down(lower(s)) & lower_mask()) | (upper_down(upper(s)) & upper_mask())
    return to_f32(six) * load_d_dmin(p)
