"""IQ2_XS: 256 weights as 32 indices into a code book of 512 octets, with seven signs each.

    byte   0    2                                       66                   74
           d    qs[32]                                  scales[8]
           f16  u16: index in bits 0-8, signs in 9-15   nibbles, one per 16 weights

    weight = d * (scale + 0.5) / 4 * level * sign, level one of 8, 25, 43

Weight k of an octet is negative where bit k of its signs is set; the parity of the seven is the
eighth sign.
"""

from numba import njit

from zigllm_cli.quants.grids import levels, packed
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.bits import bit_windows
from zigllm_cli.simd.codebook import four_vectors, look_up_words, ramp
from zigllm_cli.simd.memory import broadcast_f16, load_u8x8_eight_times, load_u8x64
from zigllm_cli.simd.signs import signed_octets
from zigllm_cli.simd.tile import column_of

look_up = look_up_words("iq2_xs_book", packed("IQ2_XS", 2))
signed = signed_octets("iq2_xs_signs", levels("IQ2_XS"), 43, parity=True)
w0, w1, w2, w3 = (column_of(four_vectors, v) for v in range(4))
lane_nibbles = bit_windows([4 * (i // 4) for i in range(64)])
factor = ramp(0.125, 0.25, bits=4)


@njit(forceinline=True)
def weights(p):
    """One block at p: weight 4 * byte + v in vector v."""
    words = load_u8x64(p + 2)
    w = signed(look_up(words), words)
    return w0(w), w1(w), w2(w), w3(w)


@njit(forceinline=True)
def scales(p):
    """d * (scale + 0.5) / 4 of 16 weights in each lane."""
    return (factor(lane_nibbles(load_u8x8_eight_times(p + 66))) * broadcast_f16(p),)
