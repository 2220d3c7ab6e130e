"""Rotary position embedding: pairs of a head's values turned by an angle that grows with position.

Which values are a pair is the variant: `norm` (2i, 2i + 1), as LLaMA's files have them, or
`neox` (i, i + rotated / 2). Heads are turned in place; values behind the rotated ones stay.

    args  0 x (f32 [n, heads * head dim])  1 bytes from token to token
          2 heads                          3 head dim
          4 rotated values of a head (even)
          5 table (f32 [position][rotated]: cosines of all pairs, then their sines)
          6 state
"""

from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import POSITIONS, TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import const, fma, zero_f32x16
from zigllm_cli.simd.memory import load_i64, loader, masked_loader
from zigllm_cli.simd.shuffle import permute
from zigllm_cli.simd.vector import f32x8, f32x16

load_f32x8, load_first_f32x8 = loader(f32x8), masked_loader(f32x8)
twice_each = permute(f32x8, [lane // 2 for lane in range(16)], f32x16)
neighbours = permute(f32x16, [lane ^ 1 for lane in range(16)])
minus_plus = const(f32x16, [-1.0, 1.0] * 8)


@part
def eight_each(p, count):
    """The first `count` of eight floats at p, each in two neighbouring lanes."""
    return twice_each(load_f32x8(p) if count >= 8 else load_first_f32x8(p, count))


@part
def turn_neighbours(x, table, rotated):
    """One head, pairs (2i, 2i + 1)."""
    for i in range(0, rotated, 16):
        left = rotated - i
        cos = eight_each(table + 2 * i, left // 2)
        sin = eight_each(table + 2 * rotated + 2 * i, left // 2)
        v = load_part(x + 4 * i, left)
        store_part(x + 4 * i, fma(neighbours(v), sin * minus_plus(), v * cos), left)


@part
def turn_halves(x, table, rotated):
    """One head, pairs (i, i + rotated / 2)."""
    half = rotated // 2
    for i in range(0, half, 16):
        left, p, q = half - i, x + 4 * i, x + 4 * (half + i)
        cos, sin = load_part(table + 4 * i, left), load_part(table + 4 * (half + i), left)
        u, v = load_part(p, left), load_part(q, left)
        store_part(p, fma(u, cos, zero_f32x16() - v * sin), left)
        store_part(q, fma(v, cos, u * sin), left)


TURNS = {"norm": turn_neighbours, "neox": turn_halves}


def build(pairs):
    """The kernel for one choice of pairs."""
    turn = TURNS[pairs]

    @njit(error_model="numpy")
    def rope(args, thread, threads):
        heads, size, rotated = load_i64(args + 16), load_i64(args + 24), load_i64(args + 32)
        table, state = load_i64(args + 40), load_i64(args + 48)
        tokens, positions = load_i64(state + 8 * TOKENS), load_i64(state + 8 * POSITIONS)
        first, last = share(tokens * heads, 1, thread, threads)
        for i in range(first, last):
            token, head = i // heads, i % heads
            x = load_i64(args) + token * load_i64(args + 8) + 4 * size * head
            turn(x, table + 4 * rotated * load_i64(positions + 8 * token), rotated)

    return rope
