"""Q5_K: 256 weights of 5 bits in eight sub-blocks of 32, each with a 6-bit scale and minimum.

    byte   0    2     4            16       48                            176
           d    dmin  scales[12]   qh[32]   qs[128]
           f16  f16   as in Q4_K   bits     32 bytes hold two sub-blocks as in Q4_K

    qh[j]  fifth bits: bit n for weight j of sub-block n

weight = d * sc * q - dmin * m
"""

from numba import njit

from zigllm_cli.quants.k_scales import scales_and_minima
from zigllm_cli.quants.q4_k import (
    even_scales,
    first_halves,
    odd_scales,
    second_halves,
    shift_right_4,
)
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import low_nibbles
from zigllm_cli.simd.bits import single_bits
from zigllm_cli.simd.memory import load_u8x16_four_times, load_u8x64

# bits 0, 2, 4, 6 (even sub-blocks) or 1, 3, 5, 7 of every byte as bit 4
even_at_4 = single_bits([2 * (lane // 4) for lane in range(16)], 4)
odd_at_4 = single_bits([2 * (lane // 4) + 1 for lane in range(16)], 4)


@njit(forceinline=True)
def weights(p):
    """One block at p; each vector is 16 weights of four sub-blocks: even, even, odd, odd."""
    q0, q1 = load_u8x64(p + 48), load_u8x64(p + 112)
    first, second = first_halves(q0, q1), second_halves(q0, q1)
    h0, h1 = load_u8x16_four_times(p + 16), load_u8x16_four_times(p + 32)
    low = low_nibbles()
    return (
        (first & low) | even_at_4(h0),
        (second & low) | even_at_4(h1),
        (shift_right_4(first) & low) | odd_at_4(h0),
        (shift_right_4(second) & low) | odd_at_4(h1),
    )


@njit(forceinline=True)
def scales(p):
    """d * sc of the even sub-blocks, of the odd ones, four lanes each."""
    both = scales_and_minima(p)
    return even_scales(both), odd_scales(both)


@njit(forceinline=True)
def minima(p):
    """dmin * m of sub-block n in lane 8 + n."""
    return scales_and_minima(p)
