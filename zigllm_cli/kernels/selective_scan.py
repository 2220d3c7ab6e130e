"""The recurrence of a selective state-space model, for all tokens of a step at once.

    h = decay * h + (delta * x) B        y = C . h + D x

Every channel has a state h of some dozens of numbers; the channels of a group share B and C. Two
variants, of how the decay exp(delta * A) comes:

    channels   delta per channel, A per channel and number of the state (Mamba, arXiv 2312.00752)
    heads      delta and A per head of channels (Mamba 2, arXiv 2405.21060)

    args  0 x (f32 [n, heads * dim])    1 out (may be x)
          2 delta (f32 [n, heads * dim], or [n, heads])
          3 B (f32 [n, groups * states])  4 C (the same)
          5 A times log2 e (f32 [block][states][16], or [heads])
          6 D (f32 [heads * dim], or [heads])
          7 heads (1 for `channels`)    8 dim (channels of a head)
          9 groups                     10 states
         11 memory of the sequences (f32 [block][states][16] each)
         12 bytes from sequence to sequence
         13 state

A block is sixteen channels of a head: the lanes of a vector. Threads share the blocks; each block
goes through all tokens with its state in the first-level cache, so a prompt reads and writes the
memory of a sequence once. A sequence begins with zeros.
"""

from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import POSITIONS, SEQUENCES, TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fma, splat_f32x16, zero_f32x16
from zigllm_cli.simd.math import exp2
from zigllm_cli.simd.memory import broadcast_f32x16, load_f32, load_f32x16, load_i64, store_vec

LANES = 16


def build(kind):
    """The kernel of a variant."""
    per_channel = kind == "channels"

    @part
    def deltas(args, token, head, heads, place, left):
        if per_channel:
            width = heads * load_i64(args + 64)
            return load_part(load_i64(args + 16) + 4 * (token * width + place), left)
        return splat_f32x16(load_f32(load_i64(args + 16) + 4 * (token * heads + head)))

    @part
    def skip(args, head, place, left):
        if per_channel:
            return load_part(load_i64(args + 48) + 4 * place, left)
        return splat_f32x16(load_f32(load_i64(args + 48) + 4 * head))

    if per_channel:

        @part
        def advance(h, a, delta, x, b, c, y, states):
            source = delta * x
            for j in range(states):
                decay = exp2(delta * load_f32x16(a + 64 * j))
                old = load_f32x16(h + 64 * j) * decay
                new = fma(broadcast_f32x16(b + 4 * j), source, old)
                y = fma(broadcast_f32x16(c + 4 * j), new, y)
                store_vec(h + 64 * j, new)
            return y

    else:

        @part
        def advance(h, a, delta, x, b, c, y, states):
            source, decay = delta * x, exp2(delta * broadcast_f32x16(a))
            for j in range(states):
                old = load_f32x16(h + 64 * j) * decay
                new = fma(broadcast_f32x16(b + 4 * j), source, old)
                y = fma(broadcast_f32x16(c + 4 * j), new, y)
                store_vec(h + 64 * j, new)
            return y

    @njit(error_model="numpy")
    def selective_scan(args, thread, threads):
        heads, dim, groups = load_i64(args + 56), load_i64(args + 64), load_i64(args + 72)
        states, step = load_i64(args + 80), load_i64(args + 104)
        positions, sequences = load_i64(step + 8 * POSITIONS), load_i64(step + 8 * SEQUENCES)
        tokens, width = load_i64(step + 8 * TOKENS), heads * dim
        per_head = (dim + LANES - 1) // LANES
        first, last = share(heads * per_head, 1, thread, threads)
        for block in range(first, last):
            head, start = block // per_head, block % per_head * LANES
            place, left = head * dim + start, dim - start
            a = load_i64(args + 40) + (64 * states * block if per_channel else 4 * head)
            d = skip(args, head, place, left)
            offset = 4 * (head * groups // heads) * states
            for token in range(tokens):
                h = load_i64(args + 88) + load_i64(sequences + 8 * token) * load_i64(args + 96)
                h += 64 * states * block
                if load_i64(positions + 8 * token) == 0:
                    for j in range(states):
                        store_vec(h + 64 * j, zero_f32x16())
                x = load_part(load_i64(args) + 4 * (token * width + place), left)
                delta = deltas(args, token, head, heads, place, left)
                b = load_i64(args + 24) + 4 * token * groups * states + offset
                c = load_i64(args + 32) + 4 * token * groups * states + offset
                y = advance(h, a, delta, x, b, c, d * x, states)
                store_part(load_i64(args + 8) + 4 * (token * width + place), y, left)

    return selective_scan
