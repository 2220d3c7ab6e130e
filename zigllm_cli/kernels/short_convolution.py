"""Causal convolution over time, channel by channel, with a few taps, and SiLU behind it (Mamba).

    args  0 x (f32 [n, channels])       1 out (may be x)
          2 weight (f32 [taps][channels]; the last tap is the token's own)
          3 bias (f32 [channels]) or 0  4 channels
          5 taps                        6 states (f32 [taps - 1][channels] per sequence)
          7 bytes from sequence to sequence
          8 state

The state is what the last taps - 1 tokens of a sequence brought, the oldest first; before its first
position it is zero. Threads share the channels; each goes through all tokens, so that its part
of the state stays in the first-level cache.
"""

from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import POSITIONS, SEQUENCES, TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fma, zero_f32x16
from zigllm_cli.simd.math import silu
from zigllm_cli.simd.memory import load_i64


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def short_convolution(args, thread, threads):
        weight, bias, channels = load_i64(args + 16), load_i64(args + 24), load_i64(args + 32)
        before, row, step = load_i64(args + 40) - 1, 4 * channels, load_i64(args + 64)
        positions, sequences = load_i64(step + 8 * POSITIONS), load_i64(step + 8 * SEQUENCES)
        first, last = share(channels, 16, thread, threads)
        for c in range(first, last, 16):
            left = channels - c
            for token in range(load_i64(step + 8 * TOKENS)):
                sequence = load_i64(sequences + 8 * token)
                past = load_i64(args + 48) + sequence * load_i64(args + 56) + 4 * c
                begins = load_i64(positions + 8 * token) == 0
                total = load_part(bias + 4 * c, left) if bias else zero_f32x16()
                for tap in range(before):
                    old = zero_f32x16() if begins else load_part(past + tap * row, left)
                    total = fma(load_part(weight + tap * row + 4 * c, left), old, total)
                    if tap:
                        store_part(past + (tap - 1) * row, old, left)
                x = load_part(load_i64(args) + token * row + 4 * c, left)
                if before:
                    store_part(past + (before - 1) * row, x, left)
                total = fma(load_part(weight + before * row + 4 * c, left), x, total)
                store_part(load_i64(args + 8) + token * row + 4 * c, silu(total), left)

    return short_convolution
