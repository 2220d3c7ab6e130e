"""Q3_K: 256 weights of 3 bits in sixteen groups of 16, each with a 6-bit scale.

    byte   0          32                              96          108  110
           hmask[32]  qs[64]                          scales[12]  d
           bits       lower two bits of each weight   6-bit       f16

    hmask[j]        third bits: bit k for weight 32 * k + j
    scales[0..7]    lower four bits of the scales of groups 0..7 (low nibble), 8..15 (high nibble)
    scales[8..11]   byte 8 + n: upper two bits of groups n, n + 4, n + 8, n + 12, lowest first

weight = d * (scale - 32) * (q - 4)
"""

from numba import njit

from zigllm_cli.quants.layouts import LAYOUTS
from zigllm_cli.quants.two_bits import spreads, two_bits
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill
from zigllm_cli.simd.bits import bit_windows_u8x16, single_bits
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import broadcast_f16, load_u8x16, load_u8x32_twice, load_u8x64
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import f32x16, u8x16

codes = two_bits(4)
s0, s1, s2, s3 = spreads(4)
# the bit of each lane's group, of the lower or upper four, as bit 2
third_bit = single_bits([4 * (lane // 8) + lane % 4 for lane in range(16)], 2)

groups = [place // 16 for place in LAYOUTS["Q3_K"].order[:64:4]]
assert groups[:8] == [group - 8 for group in groups[8:]], "each eight lanes decode eight groups"
lower = permute(u8x16, [2, 3, 4, 5, 6, 7, 8, 9] * 2)
upper = permute(u8x16, [10, 11, 12, 13] * 4)
lower_bits = bit_windows_u8x16([8 * (group % 8) + 4 * (group // 8) for group in groups])
upper_bits = bit_windows_u8x16([(8 * (g % 4) + 2 * (g // 4) - 4) % 64 for g in groups])
lower_mask, upper_mask = fill(u8x16, 15), fill(u8x16, 0x30)
thirty_two = fill(f32x16, 32)


@njit(forceinline=True)
def weights(p):
    """One block at p: four of the sixteen weights of a group in its lane of each vector."""
    a, b, c, d = codes(load_u8x64(p + 32))
    h = load_u8x32_twice(p)
    return (
        a | third_bit(s0(h)),
        b | third_bit(s1(h)),
        c | third_bit(s2(h)),
        d | third_bit(s3(h)),
    )


@njit(forceinline=True)
def scales(p):
    """d * (scale - 32) of each lane's group."""
    s = load_u8x16(p + 94)  # the scales are bytes 2..13 of it
    six = (lower_bits(lower(s)) & lower_mask()) | (upper_bits(upper(s)) & upper_mask())
    return ((to_f32(six) - thirty_two()) * broadcast_f16(p + 108),)
