"""IQ1_M: 256 weights as 32 indices into IQ1_S's code book of 2048 octets.

    byte   0                  32                           48                            56
           qs[32]             qh[16]                       scales[4], u16
           lower 8 bits of    a nibble per octet:          bits 0-11: scales of 3 bits for
           the indices        bits 8-10 of the index,      four groups of 16 weights,
                              bit 3: delta negative        bits 12-15: a nibble of d (f16)

    weight = d * (2 * scale + 1) * (level +- 1/8), level one of -1, 0, 1

which is d * (2 * scale + 1) / 8 * (8 * level +- 1), in whole numbers.
"""

from numba import njit

from zigllm_cli.quants.iq1_s import book, two, upper_mask, w0, w1, w2, w3
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.bits import bit_windows
from zigllm_cli.simd.codebook import load_widened, look_up_octets, ramp
from zigllm_cli.simd.convert import f16_bits_everywhere
from zigllm_cli.simd.memory import load_i64, load_u8x8_eight_times

# Octet 2g + t of either half of the block stands in eight bytes g of the half's vector t.
octets = [16 * (i // 16) + 2 * (i % 8) + i // 8 % 2 for i in range(32)]
look_up = look_up_octets("iq1_s_book", book, octets)
load_bytes_as_words = load_widened(32, 8, 16)
load_words_as_qwords = load_widened(8, 16, 64)
load_bytes_as_qwords = load_widened(8, 8, 64)
upper_bits = bit_windows([4 * (i // 2) if i % 2 else 16 for i in range(8)] * 8)
even_delta, odd_delta = bit_windows([2] * 64), bit_windows([6] * 64)
# Group 4k + j of the scales stands in bits 16k + 3j; two lanes each, in either half.
starts = [16 * (group // 4) + 3 * (group % 4) for group in range(16)]
first_scales = bit_windows([starts[i // 8] for i in range(64)])
last_scales = bit_windows([starts[8 + i // 8] for i in range(64)])
factor = ramp(0.125, 0.25, bits=3)


@njit(forceinline=True)
def weights(p):
    """One block at p: even octets of the first half, odd ones, the same of the second half."""
    w = look_up(load_bytes_as_words(p) | (upper_bits(load_words_as_qwords(p + 32)) & upper_mask()))
    first, last, m = load_bytes_as_qwords(p + 32), load_bytes_as_qwords(p + 40), two()
    return (
        w0(w) - (even_delta(first) & m),
        w1(w) - (odd_delta(first) & m),
        w2(w) - (even_delta(last) & m),
        w3(w) - (odd_delta(last) & m),
    )


@njit(forceinline=True)
def scales(p):
    """d * (2 * scale + 1) / 8 of 16 weights in two lanes each, of either half."""
    s = load_i64(p + 48)
    d = f16_bits_everywhere(
        (s >> 12 & 0x000F) | (s >> 24 & 0x00F0) | (s >> 36 & 0x0F00) | (s >> 48 & 0xF000)
    )
    both = load_u8x8_eight_times(p + 48)
    return factor(first_scales(both)) * d, factor(last_scales(both)) * d
