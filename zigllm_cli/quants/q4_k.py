"""Q4_K: 256 weights of 4 bits in eight sub-blocks of 32, each with a 6-bit scale and minimum.

    byte   0    2     4            16                                   144
           d    dmin  scales[12]   qs[128]
           f16  f16   6-bit pairs  32 bytes hold two sub-blocks: low nibbles the even one

    scales[0..3]   sc0..sc3 in bits 0-5, upper bits of sc4..sc7 in bits 6-7
    scales[4..7]   m0..m3 in bits 0-5, upper bits of m4..m7 in bits 6-7
    scales[8..11]  lower four bits of sc4..sc7 (low nibble) and m4..m7 (high nibble)

weight = d * sc * q - dmin * m
"""

from numba import njit

from zigllm_cli.quants.k_scales import scales_and_minima
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import low_nibbles, shift_right_words
from zigllm_cli.simd.memory import load_u8x64
from zigllm_cli.simd.shuffle import blend, permute
from zigllm_cli.simd.vector import f32x16, u8x64

shift_right_4 = shift_right_words(4)
first_halves = blend(u8x64, [32 * (b // 16) + b % 16 for b in range(64)])
second_halves = blend(u8x64, [32 * (b // 16) + 16 + b % 16 for b in range(64)])
even_scales = permute(f32x16, [2 * (lane // 4) for lane in range(16)])
odd_scales = permute(f32x16, [2 * (lane // 4) + 1 for lane in range(16)])


@njit(forceinline=True)
def weights(p):
    """One block at p; each vector is 16 weights of four sub-blocks: even, even, odd, odd."""
    q0, q1 = load_u8x64(p + 16), load_u8x64(p + 80)
    first, second = first_halves(q0, q1), second_halves(q0, q1)
    low = low_nibbles()
    return first & low, second & low, shift_right_4(first) & low, shift_right_4(second) & low


@njit(forceinline=True)
def scales(p):
    """d * sc of the even sub-blocks, of the odd ones, four lanes each."""
    both = scales_and_minima(p)
    return even_scales(both), odd_scales(both)


@njit(forceinline=True)
def minima(p):
    """dmin * m of sub-block n in lane 8 + n."""
    return scales_and_minima(p)
