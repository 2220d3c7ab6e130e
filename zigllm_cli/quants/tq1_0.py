"""TQ1_0: 256 weights of -1, 0 and 1, five to a byte, and one scale.

    byte   0         32        48     52   54
           qs[32]    qs[16]    qh[4]  d
                                      f16

    qs[j], j < 32      digit n: weight 32 * n + j               (n = 0..4)
    qs[32 + j]         digit n: weight 160 + 16 * n + j         (n = 0..4)
    qh[j]              digit n: weight 240 + 4 * n + j          (n = 0..3)

A byte is a fraction of 256, in base three: digit n is what stands before the point when the
byte's product with 3^n, kept in a byte, is multiplied by three once more.

    weight = d * (digit - 1)
"""

from numba import njit

from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import const
from zigllm_cli.simd.convert import as_u8x64
from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.memory import (
    broadcast_f16,
    broadcast_i32x16,
    load_u8x16_four_times,
    load_u8x32_twice,
)
from zigllm_cli.simd.shuffle import blend
from zigllm_cli.simd.vector import u8x64

powers_0_1 = const(u8x64, [1] * 32 + [3] * 32)
powers_2_3 = const(u8x64, [9] * 32 + [27] * 32)
powers_0_to_3 = const(u8x64, [3 ** (i // 16) for i in range(64)])
powers_of_rest = const(u8x64, [81] * 48 + [3 ** (i // 4) for i in range(16)])
then_sixteen = blend(u8x64, [*range(32), *range(64, 96)])
then_last_sixteen = blend(u8x64, [*range(48), *range(112, 128)])


@emit(u8x64, u8x64)
def digit(b, v):
    """3 * v / 256, rounded down."""
    zero, one, two = (u8x64.constant([n] * 64) for n in range(3))
    above_one = b.icmp_unsigned(">", v, u8x64.constant([256 // 3] * 64))
    above_two = b.icmp_unsigned(">", v, u8x64.constant([2 * 256 // 3] * 64))
    return b.select(above_two, two, b.select(above_one, one, zero))


@njit(forceinline=True)
def weights(p):
    """One block at p: digits 0 1 and 2 3 of the 32, 0 to 3 of the 16, 4 of both with the last."""
    a, b, c = load_u8x32_twice(p), load_u8x16_four_times(p + 32), as_u8x64(broadcast_i32x16(p + 48))
    rest = then_last_sixteen(then_sixteen(a, b), c)
    return (
        digit(a * powers_0_1()),
        digit(a * powers_2_3()),
        digit(b * powers_0_to_3()),
        digit(rest * powers_of_rest()),
    )


@njit(forceinline=True)
def scales(p):
    """d, for all lanes."""
    d = broadcast_f16(p + 52)
    return d, d, d, d
