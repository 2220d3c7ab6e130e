"""The fifth bits of Q5_0 and Q5_1: 32 per block, bit i for weight i.

Bits 0-15 belong to the weights in low nibbles, bits 16-31 to those in high nibbles.
"""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import const, fill, has_bits, low_nibbles, select, shift_right_words
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import u8x32, u8x64

one_bit = const(u8x64, [1 << i % 8 for i in range(64)])
sixteen = fill(u8x64, 16)
shift_right_4 = shift_right_words(4)


def five_bits(first):
    """A Numba function (nibbles of four blocks, heads of four blocks): two vectors of weights.

    A head is the first 8 bytes of a block; the bits stand in the four from `first` on.
    """
    with_low, with_high = (
        permute(u8x32, [8 * (i // 16) + first + 2 * high + i % 16 // 8 for i in range(64)], u8x64)
        for high in range(2)
    )

    @njit(forceinline=True)
    def joined(nibbles, heads):
        mask, bit, more = low_nibbles(), one_bit(), sixteen()
        low, high = nibbles & mask, shift_right_4(nibbles) & mask
        return (
            select(has_bits(with_low(heads), bit), low + more, low),
            select(has_bits(with_high(heads), bit), high + more, high),
        )

    return joined
