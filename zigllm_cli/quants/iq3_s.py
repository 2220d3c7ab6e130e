"""IQ3_S: 256 weights as 64 indices into a code book of 512 quartets, with a sign each.

byte   0    2                 66              74          106               110
       d    qs[64]            qh[8]           signs[32]   scales[4]
       f16  lower 8 bits of   ninth bit of    a bit per   nibbles, one per
            the indices       each index      weight      32 weights

weight = d * (2 * scale + 1) * level * sign, level one of 1, 3, 5, ... 15
"""

from numba import njit

from zigllm_cli.quants.grids import levels, packed
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.bits import bit_windows
from zigllm_cli.simd.codebook import four_vectors, look_up_planes, ramp
from zigllm_cli.simd.convert import as_u8x64
from zigllm_cli.simd.memory import (
    broadcast_f16,
    broadcast_i32x16,
    load_mask64,
    load_u8x32,
    load_u8x64,
)
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.signs import signed_quartets
from zigllm_cli.simd.tile import column_of
from zigllm_cli.simd.vector import u8x32, u8x64

look_up = look_up_planes("iq3_s_book", packed("IQ3_S", 4))
signed = signed_quartets("iq3_s_signs", levels("IQ3_S"), 15, parity=False)
w0, w1, w2, w3 = (column_of(four_vectors, v) for v in range(4))
twice = permute(u8x32, [i // 2 for i in range(64)], u8x64)
lane_nibbles = bit_windows([4 * (i // 8) for i in range(64)])
factor = ramp(1, 2, bits=4)


@njit(forceinline=True)
def weights(p):
    """One block at p: weight 4 * byte + v in vector v."""
    planes = look_up(load_u8x64(p + 2), load_mask64(p + 66))
    w = signed(planes, twice(load_u8x32(p + 74)))
    return w0(w), w1(w), w2(w), w3(w)


@njit(forceinline=True)
def scales(p):
    """d * (2 * scale + 1) of 32 weights in two lanes each."""
    return (factor(lane_nibbles(as_u8x64(broadcast_i32x16(p + 106)))) * broadcast_f16(p),)
