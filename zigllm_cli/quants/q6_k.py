"""Q6_K: 256 weights of 6 bits in sixteen groups of 16, each with an 8-bit scale.

    byte   0                       128                     192         208  210
           ql[128]                 qh[64]                  scales[16]  d
           lower four bits         upper two bits          signed      f16

    For each half of 128 weights, with 64 bytes of ql and 32 of qh:
    ql[0..31]   low nibbles: weights 0..31, high nibbles: weights 64..95
    ql[32..63]  low nibbles: weights 32..63, high nibbles: weights 96..127
    qh[0..31]   bits 0-1: weights 0..31, 2-3: 32..63, 4-5: 64..95, 6-7: 96..127

weight = d * scale * (q - 32)
"""

from numba import njit

from zigllm_cli.quants.layouts import LAYOUTS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill, low_nibbles, shift_right_words
from zigllm_cli.simd.bits import rotate_quads
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import broadcast_f16, load_i8x16, load_u8x32_twice, load_u8x64
from zigllm_cli.simd.shuffle import (
    interleave_high_4,
    interleave_high_8,
    interleave_low_4,
    interleave_low_8,
    permute,
)
from zigllm_cli.simd.vector import i8x16, u8x64

# two bits of every byte turned to bits 4-5
lower_at_4 = rotate_quads([4] * 8 + [2] * 8)
upper_at_4 = rotate_quads([0] * 8 + [-2] * 8)
two_bits = fill(u8x64, 0x30)
shift_right_4 = shift_right_words(4)
by_lane = permute(i8x16, [place // 16 for place in LAYOUTS["Q6_K"].order[:64:4]])


@njit(forceinline=True)
def half_block(ql, qh):
    """128 weights as two vectors in their natural order."""
    q, h, low, top = load_u8x64(ql), load_u8x32_twice(qh), low_nibbles(), two_bits()
    return (q & low) | (lower_at_4(h) & top), (shift_right_4(q) & low) | (upper_at_4(h) & top)


@njit(forceinline=True)
def weights(p):
    """One block at p: four of the sixteen weights of a group in its lane of each vector.

    The groups of four natural vectors, 16 bytes each, turned like a matrix of 4 x 4 numbers.
    """
    a, b = half_block(p, p + 128)
    c, d = half_block(p + 64, p + 160)
    ab, cd = interleave_low_4(a, b), interleave_low_4(c, d)
    ab_high, cd_high = interleave_high_4(a, b), interleave_high_4(c, d)
    return (
        interleave_low_8(ab, cd),
        interleave_high_8(ab, cd),
        interleave_low_8(ab_high, cd_high),
        interleave_high_8(ab_high, cd_high),
    )


@njit(forceinline=True)
def scales(p):
    """d * scale of each lane's group."""
    return (to_f32(by_lane(load_i8x16(p + 192))) * broadcast_f16(p + 208),)
