"""IQ2_S: 256 weights as 32 indices into a code book of 1024 octets, with eight signs each.

byte   0    2                34          66                   74                 82
       d    qs[32]           signs[32]   qh[8]                scales[8]
       f16  lower 8 bits of  a bit per   bits 8-9 of the      nibbles, one per
            the indices      weight      index, 4 a byte      16 weights

weight = d * (scale + 0.5) / 4 * level * sign, level one of 8, 25, 43
"""

from numba import njit

from zigllm_cli.quants.grids import levels, packed
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.bits import bit_windows
from zigllm_cli.simd.codebook import four_vectors, load_widened, look_up_words, ramp
from zigllm_cli.simd.memory import broadcast_f16, load_u8x8_eight_times, load_u8x32
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.signs import signed_octets
from zigllm_cli.simd.tile import column_of
from zigllm_cli.simd.vector import u8x32, u8x64

look_up = look_up_words("iq2_s_book", packed("IQ2_S", 2))
signed = signed_octets("iq2_s_signs", levels("IQ2_S"), 43, parity=False)
w0, w1, w2, w3 = (column_of(four_vectors, v) for v in range(4))
twice = permute(u8x32, [i // 2 for i in range(64)], u8x64)
load_bytes_as_words = load_widened(32, 8, 16)
load_bytes_as_qwords = load_widened(8, 8, 64)
# Two bits of a byte to the upper byte of a word, zeros to the lower one.
upper_bits = bit_windows([i - 1 if i % 2 else 8 for i in range(8)] * 8)
lane_nibbles = bit_windows([4 * (i // 4) for i in range(64)])
factor = ramp(0.125, 0.25, bits=4)


@njit(forceinline=True)
def weights(p):
    """One block at p: weight 4 * byte + v in vector v."""
    index = load_bytes_as_words(p + 2) | upper_bits(load_bytes_as_qwords(p + 66))
    w = signed(look_up(index), twice(load_u8x32(p + 34)))
    return w0(w), w1(w), w2(w), w3(w)


@njit(forceinline=True)
def scales(p):
    """d * (scale + 0.5) / 4 of 16 weights in each lane."""
    return (factor(lane_nibbles(load_u8x8_eight_times(p + 74))) * broadcast_f16(p),)
