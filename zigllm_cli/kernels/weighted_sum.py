"""A token's vectors from its experts, each times its weight, added up.

args  0 y (f32 [pairs, width])      1 weights (f32 [n, used])
      2 places (int64 [n * used]: the row of y of each pair) or 0, where they are in order
      3 used per token              4 out (f32 [n, width])
      5 width                       6 whether to add to out
      7 state
"""

from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fma, splat_f32x16, zero_f32x16
from zigllm_cli.simd.memory import load_f32, load_i64

PIECE = 256
"""Floats of a row that a thread takes at a time."""


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def weighted_sum(args, thread, threads):
        places, used, width = load_i64(args + 16), load_i64(args + 24), load_i64(args + 40)
        add, tokens = load_i64(args + 48), load_i64(load_i64(args + 56) + 8 * TOKENS)
        pieces = (width + PIECE - 1) // PIECE
        first, last = share(tokens * pieces, 1, thread, threads)
        for number in range(first, last):
            token, start = number // pieces, number % pieces * PIECE
            weights, out = load_i64(args + 8), load_i64(args + 32) + 4 * width * token
            for i in range(start, min(start + PIECE, width), 16):
                left = width - i
                total = load_part(out + 4 * i, left) if add else zero_f32x16()
                for pair in range(token * used, (token + 1) * used):
                    place = load_i64(places + 8 * pair) if places else pair
                    y = load_part(load_i64(args) + 4 * (place * width + i), left)
                    total = fma(splat_f32x16(load_f32(weights + 4 * pair)), y, total)
                store_part(out + 4 * i, total, left)

    return weighted_sum
