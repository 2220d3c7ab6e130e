"""IQ3_XXS: 256 weights as 64 indices into a code book of 256 quartets, with signs.

    byte   0    2         66                                                            98
           d    qs[64]    eight u32, each for 32 weights
           f16  indices   four times seven signs in bits 0-27, scale in bits 28-31

    weight = d * (scale + 0.5) / 2 * level * sign, level one of 4, 12, 20, ... 52, 62

Each seven signs belong to eight weights, the lowest bit to the first; their parity is the
eighth sign.
"""

from numba import njit

from zigllm_cli.quants.grids import levels, packed
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.bits import bit_windows
from zigllm_cli.simd.codebook import four_vectors, load_widened, look_up_planes, ramp
from zigllm_cli.simd.memory import broadcast_f16, load_u8x64
from zigllm_cli.simd.signs import signed_quartets
from zigllm_cli.simd.tile import column_of

look_up = look_up_planes("iq3_xxs_book", packed("IQ3_XXS", 4))
signed = signed_quartets("iq3_xxs_signs", levels("IQ3_XXS"), 62, parity=True)
w0, w1, w2, w3 = (column_of(four_vectors, v) for v in range(4))
load_dwords_as_qwords = load_widened(8, 32, 64)
# Seven signs in bits 1-7 of both bytes of a word; bit 0 is anything.
seven_signs = bit_windows([(7 * (i // 2) - 1) % 64 for i in range(8)] * 8)
top_nibbles = bit_windows([28] * 64)
factor = ramp(0.25, 0.5, bits=4)


@njit(forceinline=True)
def weights(p):
    """One block at p: weight 4 * byte + v in vector v."""
    signs = seven_signs(load_dwords_as_qwords(p + 66))
    w = signed(look_up(load_u8x64(p + 2)), signs)
    return w0(w), w1(w), w2(w), w3(w)


@njit(forceinline=True)
def scales(p):
    """d * (scale + 0.5) / 2 of 32 weights in two lanes each."""
    return (factor(top_nibbles(load_dwords_as_qwords(p + 66))) * broadcast_f16(p),)
