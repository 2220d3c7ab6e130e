"""The header that Q4_K and Q5_K share: d, dmin and twelve bytes of 6-bit scales and minima."""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import const
from zigllm_cli.simd.bits import multishift_u8x16
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import load_u8x16, pair_of_f16
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import u8x16

# Bytes 4..15 of the block as two groups of eight: sc0-3 with the bytes of sc4-7, then m likewise.
arrange = permute(u8x16, [4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])
low_bits = const(u8x16, [0, 8, 16, 24, 32, 40, 48, 56, 0, 8, 16, 24, 36, 44, 52, 60])
top_bits = const(u8x16, [0, 0, 0, 0, 2, 10, 18, 26, 0, 0, 0, 0, 2, 10, 18, 26])
low_mask = const(u8x16, ([63] * 4 + [15] * 4) * 2)
top_mask = const(u8x16, ([0] * 4 + [0x30] * 4) * 2)
load_d_dmin = pair_of_f16(8)


@njit(forceinline=True)
def scales_and_minima(p):
    """d * sc0..7 in lanes 0..7 and dmin * m0..7 in lanes 8..15.

    All sixteen at once: decoded one by one they take longer than the rest of the block.
    """
    s = arrange(load_u8x16(p))
    six = (multishift_u8x16(low_bits(), s) & low_mask()) | (
        multishift_u8x16(top_bits(), s) & top_mask()
    )
    return to_f32(six) * load_d_dmin(p)
