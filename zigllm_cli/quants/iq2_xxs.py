"""IQ2_XXS: 256 weights as 32 indices into a code book of 256 octets, with seven signs each.

    byte   0    2                                                               66
           d    eight times 8 bytes, each for 32 weights
           f16  index[4], u32: four times seven signs in bits 0-27, scale in 28-31

    weight = d * (scale + 0.5) / 4 * level * sign, level one of 8, 25, 43

Weight k of an octet is negative where bit k of its signs is set; the parity of the seven is the
eighth sign.
"""

from numba import njit

from zigllm_cli.quants.grids import levels, packed
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.bits import bit_windows
from zigllm_cli.simd.codebook import four_vectors, look_up_words, ramp
from zigllm_cli.simd.memory import broadcast_f16, load_u8x64
from zigllm_cli.simd.signs import signed_octets
from zigllm_cli.simd.tile import column_of

look_up = look_up_words("iq2_xxs_book", packed("IQ2_XXS", 2))
signed = signed_octets("iq2_xxs_signs", levels("IQ2_XXS"), 43, parity=True)
w0, w1, w2, w3 = (column_of(four_vectors, v) for v in range(4))
# Words as IQ2_XS has them: the index below, signs in bits 9-15.
index_and_signs = bit_windows([31 + 7 * (i // 2) if i % 2 else 4 * i for i in range(8)] * 8)
top_nibbles = bit_windows([60] * 64)
factor = ramp(0.125, 0.25, bits=4)


@njit(forceinline=True)
def weights(p):
    """One block at p: weight 4 * byte + v in vector v."""
    words = index_and_signs(load_u8x64(p + 2))
    w = signed(look_up(words), words)
    return w0(w), w1(w), w2(w), w3(w)


@njit(forceinline=True)
def scales(p):
    """d * (scale + 0.5) / 4 of 32 weights in two lanes each."""
    return (factor(top_nibbles(load_u8x64(p + 2))) * broadcast_f16(p),)
