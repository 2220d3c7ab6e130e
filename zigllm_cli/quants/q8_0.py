"""Q8_0: 32 weights of 8 bits and one scale.

    byte   0    2                                 34
           d    qs[32]
           f16  signed bytes, weights 0..31

weight = d * q
"""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill
from zigllm_cli.simd.memory import strided, strided_f16
from zigllm_cli.simd.vector import u8x64

load_two_blocks = strided(u8x64, 2, 34)
load_two_scales = strided_f16(2, 34)
top_bit = fill(u8x64, 128)


@njit(forceinline=True)
def weights(p):
    """Eight blocks at p, two a vector, made unsigned by adding 128."""
    top = top_bit()
    return (
        load_two_blocks(p + 2) ^ top,
        load_two_blocks(p + 70) ^ top,
        load_two_blocks(p + 138) ^ top,
        load_two_blocks(p + 206) ^ top,
    )


@njit(forceinline=True)
def scales(p):
    """d of each block, eight lanes each."""
    return (
        load_two_scales(p),
        load_two_scales(p + 68),
        load_two_scales(p + 136),
        load_two_scales(p + 204),
    )
