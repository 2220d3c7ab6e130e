"""Q2_0: 64 weights of 2 bits and one scale.

    byte   0    2                        18
           d    qs[16]
           f16  weight i in bits 2 * (i % 4) and the next of byte i // 4

weight = d * (q - 1)
"""

from numba import njit

from zigllm_cli.quants.two_bits import lowest_two
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import shift_right_words
from zigllm_cli.simd.memory import strided, strided_f16
from zigllm_cli.simd.vector import u8x64

load_four_blocks = strided(u8x64, 4, 18)
load_four_scales = strided_f16(4, 18)
shift_2, shift_4, shift_6 = (shift_right_words(count) for count in (2, 4, 6))


@njit(forceinline=True)
def weights(p):
    """Four blocks at p: weight 4 * byte + v in vector v."""
    q, low = load_four_blocks(p + 2), lowest_two()
    return q & low, shift_2(q) & low, shift_4(q) & low, shift_6(q) & low


@njit(forceinline=True)
def scales(p):
    """d of each block, four lanes each."""
    return (load_four_scales(p),)
