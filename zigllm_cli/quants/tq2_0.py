"""TQ2_0: 256 weights of -1, 0 and 1 in two bits each, and one scale.

    byte   0                                  64   66
           qs[64]                             d
           two bits of each weight            f16

weight = d * (q - 1)
"""

from numba import njit

from zigllm_cli.quants.two_bits import two_bits
from zigllm_cli.simd.memory import broadcast_f16, load_u8x64

codes = two_bits(8)


@njit(forceinline=True)
def weights(p):
    """One block at p: eight of the 32 weights of a group in its two lanes of each vector."""
    return codes(load_u8x64(p))


@njit(forceinline=True)
def scales(p):
    """d, for all lanes."""
    return (broadcast_f16(p + 64),)
