"""The partial results of `attention`'s chunks put together, in the order of the chunks.

The arguments are those of `attention`, the same block.
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.attention import last_factor, part_size, seen_from, seen_until
from zigllm_cli.kernels.attention_layout import (
    CHUNK,
    HEADS,
    OUT,
    OUT_STEP,
    PART_VALUES,
    SINKS,
    STATE,
    V_DIM,
)
from zigllm_cli.kernels.edges import store_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import SCRATCH, TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fma, lane_maximum, splat_f32x16, zero_f32x16
from zigllm_cli.simd.math import exp2
from zigllm_cli.simd.memory import load_f32, load_f32x16, load_i64, store_f32


@part
def weight(maximum, top):
    """2^(maximum - top), a scalar."""
    return lane_maximum(exp2(splat_f32x16(maximum - top)))


@part
def merge_head(source, step, chunks, out, v_dim, sinks, head):
    """The partial results of one head, `step` bytes apart, to its place in out."""
    top, total = np.float32(-1e30), np.float32(0)
    for c in range(chunks):
        top = max(top, load_f32(source + step * c))
    for c in range(chunks):
        part = source + step * c
        factor = weight(load_f32(part), top)
        total += load_f32(part + 4) * factor
        store_f32(part + 8, factor)
    divide = splat_f32x16(last_factor(top, total, sinks, head))
    for d in range(0, v_dim, 16):
        v = zero_f32x16()
        for c in range(chunks):
            part = source + step * c
            v = fma(load_f32x16(part + PART_VALUES + 4 * d), splat_f32x16(load_f32(part + 8)), v)
        store_part(out + 4 * d, v * divide, v_dim - d)


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def attention_merge(args, thread, threads):
        heads, v_dim, sinks = load_i64(args + HEADS), load_i64(args + V_DIM), load_i64(args + SINKS)
        state, chunk, size = load_i64(args + STATE), load_i64(args + CHUNK), part_size(v_dim)
        source, step = load_i64(state + 8 * SCRATCH), part_size(v_dim) * heads
        first_head, last_head = share(heads, 1, thread, threads)
        for token in range(load_i64(state + 8 * TOKENS)):
            first, end = seen_from(args, token), seen_until(args, token)
            chunks = max(0, (end + chunk - 1) // chunk - first // chunk)
            out = load_i64(args + OUT) + token * load_i64(args + OUT_STEP)
            for head in range(first_head, last_head):
                target = out + 4 * v_dim * head
                merge_head(source + size * head, step, chunks, target, v_dim, sinks, head)
            source += step * chunks

    return attention_merge
