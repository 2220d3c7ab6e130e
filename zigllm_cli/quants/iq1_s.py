"""IQ1_S: 256 weights as 32 indices into a code book of 2048 octets.

    byte   0    2                              34                                        50
           d    qs[32]                         qh[8], u16, each for 32 weights
           f16  lower 8 bits of the indices    bits 0-11: bits 8-10 of four indices,
                                               bits 12-14: scale, bit 15: delta negative

    weight = d * (2 * scale + 1) * (level +- 1/8), level one of -1, 0, 1

which is d * (2 * scale + 1) / 8 * (8 * level +- 1), in whole numbers.
"""

from numba import njit

from zigllm_cli.quants.grids import packed
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import const, fill
from zigllm_cli.simd.bits import bit_windows
from zigllm_cli.simd.codebook import four_vectors, load_widened, look_up_octets, ramp
from zigllm_cli.simd.memory import broadcast_f16
from zigllm_cli.simd.tile import column_of
from zigllm_cli.simd.vector import u8x64

# 8 * level + 10: nine more than the weight with a positive delta; with a negative one, less two.
book = [entry + 0x0202020202020202 for entry in packed("IQ1_S", 8, 8)]
# Octet t of each 32 weights stands in vector t, in the eight bytes that have their scale.
look_up = look_up_octets("iq1_s_book", book, [4 * (i % 8) + i // 8 for i in range(32)])
w0, w1, w2, w3 = (column_of(four_vectors, v) for v in range(4))
load_bytes_as_words = load_widened(32, 8, 16)
load_words_as_qwords = load_widened(8, 16, 64)
upper_bits = bit_windows([3 * (i // 2) if i % 2 else 16 for i in range(8)] * 8)
upper_mask = const(u8x64, [0, 7] * 32)
delta_bit = bit_windows([14] * 64)
two = fill(u8x64, 2)
lane_scales = bit_windows([12] * 64)
factor = ramp(0.125, 0.25, bits=3)


@njit(forceinline=True)
def weights(p):
    """One block at p: octets of the same 32 weights in the same eight bytes of four vectors."""
    qh = load_words_as_qwords(p + 34)
    w = look_up(load_bytes_as_words(p + 2) | (upper_bits(qh) & upper_mask()))
    less = delta_bit(qh) & two()
    return w0(w) - less, w1(w) - less, w2(w) - less, w3(w) - less


@njit(forceinline=True)
def scales(p):
    """d * (2 * scale + 1) / 8 of 32 weights in two lanes each."""
    return (factor(lane_scales(load_words_as_qwords(p + 34))) * broadcast_f16(p),)
