"""Q4_0: 32 weights of 4 bits and one scale.

    byte   0    2                 18
           d    qs[16]
           f16  low nibbles: weights 0..15, high nibbles: weights 16..31

weight = d * (q - 8)
"""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import low_nibbles, shift_right_words
from zigllm_cli.simd.memory import strided, strided_f16
from zigllm_cli.simd.vector import u8x64

load_four_blocks = strided(u8x64, 4, 18)
load_four_scales = strided_f16(4, 18)
shift_right_4 = shift_right_words(4)


@njit(forceinline=True)
def weights(p):
    """Eight blocks at p: low nibbles of four, their high nibbles, the same of the other four."""
    a, b = load_four_blocks(p + 2), load_four_blocks(p + 74)
    low = low_nibbles()
    return a & low, shift_right_4(a) & low, b & low, shift_right_4(b) & low


@njit(forceinline=True)
def scales(p):
    """d of each block, four lanes each."""
    return load_four_scales(p), load_four_scales(p + 72)
