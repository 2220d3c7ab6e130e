"""Codes of two bits in 64 bytes, as Q2_K, Q3_K and TQ2_0 pack 256 of them.

    bytes 0..31    bits 0-1: weights 0..31, bits 2-3: 32..63, 4-5: 64..95, 6-7: 96..127
    bytes 32..63   weights 128..255 likewise

Shifting the 64 bytes by 0, 2, 4 and 6 gives four vectors whose lanes belong to other groups of
scales in each. Copying a part of every four first, so that it stands once for each shift, gives
four vectors with the same groups in the same lanes: one accumulator for all.
"""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill
from zigllm_cli.simd.bits import shift_right_quads
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import u8x64

lowest_two = fill(u8x64, 3)


def spreads(part):
    """Four operations: part v (4 or 8 bytes) of every four such parts, four times."""
    four = 4 * part
    return tuple(
        permute(u8x64, [four * (i // four) + part * v + i % part for i in range(64)])
        for v in range(4)
    )


def two_bits(part):
    """A Numba function (64 bytes): four vectors, see `quants.layouts.two_bit_order`."""
    s0, s1, s2, s3 = spreads(part)
    shift = shift_right_quads([2 * (4 * lane // part % 4) for lane in range(16)])

    @njit(forceinline=True)
    def codes(q):
        low = lowest_two()
        return shift(s0(q)) & low, shift(s1(q)) & low, shift(s2(q)) & low, shift(s3(q)) & low

    return codes
