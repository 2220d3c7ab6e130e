"""Routing of a mixture of experts: which experts a token goes to, and with what weights.

    args  0 logits (f32 [n, experts])   1 experts
          2 used per token              3 bias of the selection (f32 [experts]) or 0
          4 groups (1: no limit)        5 groups that stay
          6 whether weights are divided by their sum
          7 factor of the weights (f64)
          8 chosen (int64 [n, used])    9 weights (f32 [n, used])
         10 state

Scores are a function of the logits (the variant): `softmax`, `sigmoid`, or `softmax_chosen`, whose
softmax is over the chosen experts only. Chosen are the largest scores plus bias; the bias has no
part in the weights. With groups, only those whose two best experts have the largest sum stay
(DeepSeek-V3, arXiv 2412.19437).
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.expert_runs import MOST_EXPERTS
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import splat_f32x16
from zigllm_cli.simd.math import exp, sigmoid
from zigllm_cli.simd.memory import (
    load_f32,
    load_f64,
    load_i64,
    load_u8,
    stack_room,
    store_f32,
    store_i64,
    store_u8,
)

LOWEST = np.float32(-np.inf)
SMALLEST_SUM = np.float32(6.103515625e-5)
"""2^-14: what the sum of weights is at least when they are divided by it."""

room_for_scores, room_for_selection = stack_room(4 * MOST_EXPERTS), stack_room(4 * MOST_EXPERTS)
room_for_flags = stack_room(MOST_EXPERTS)


@part
def softmax_of(x, count, out):
    """Softmax of `count` floats at x."""
    top = LOWEST
    for i in range(count):
        top = max(top, load_f32(x + 4 * i))
    for i in range(0, count, 16):
        store_part(out + 4 * i, exp(load_part(x + 4 * i, count - i) - splat_f32x16(top)), count - i)
    total = np.float32(0)
    for i in range(count):
        total += load_f32(out + 4 * i)
    for i in range(count):
        store_f32(out + 4 * i, load_f32(out + 4 * i) / total)


@part
def sigmoid_of(x, count, out):
    """Sigmoid of `count` floats at x."""
    for i in range(0, count, 16):
        store_part(out + 4 * i, sigmoid(load_part(x + 4 * i, count - i)), count - i)


@part
def as_they_are(x, count, out):
    """A copy of `count` floats at x."""
    for i in range(0, count, 16):
        store_part(out + 4 * i, load_part(x + 4 * i, count - i), count - i)


SCORES = {"softmax": softmax_of, "sigmoid": sigmoid_of, "softmax_chosen": as_they_are}


@part
def take_largest(values, flags, first, last):
    """The largest of those not taken yet, marked as taken; the first of equal ones."""
    best = first - 1
    for i in range(first, last):
        if load_u8(flags + i) == 0 and (
            best < first or load_f32(values + 4 * i) > load_f32(values + 4 * best)
        ):
            best = i
    if best >= first:
        store_u8(flags + best, 1)
    return best


@njit
def limit_groups(selection, experts, groups, kept, flags):
    """Leave the experts of the `kept` best groups; those of the others become the lowest."""
    size = experts // groups
    for i in range(experts):
        store_u8(flags + i, 0)
    sums = room_for_sums()
    for g in range(groups):
        total = np.float32(0)
        for _ in range(min(2, size)):
            total += load_f32(
                selection + 4 * take_largest(selection, flags, g * size, (g + 1) * size)
            )
        store_f32(sums + 4 * g, total)
    for i in range(groups):
        store_u8(flags + i, 0)
    for _ in range(kept):
        take_largest(sums, flags, 0, groups)
    for g in range(groups):
        if load_u8(flags + g) == 0:
            for i in range(g * size, (g + 1) * size):
                store_f32(selection + 4 * i, LOWEST)


room_for_sums = stack_room(4 * MOST_EXPERTS)


def build(kind):
    """The kernel for a function of the logits."""
    score, after = SCORES[kind], kind == "softmax_chosen"

    @njit(error_model="numpy")
    def route(args, thread, threads):
        experts, used, bias = load_i64(args + 8), load_i64(args + 16), load_i64(args + 24)
        groups, normalise = load_i64(args + 32), load_i64(args + 48)
        factor = np.float32(load_f64(args + 56))
        scores, selection, flags = room_for_scores(), room_for_selection(), room_for_flags()
        first, last = share(load_i64(load_i64(args + 80) + 8 * TOKENS), 1, thread, threads)
        for token in range(first, last):
            score(load_i64(args) + 4 * experts * token, experts, scores)
            for i in range(experts):
                value = load_f32(scores + 4 * i)
                store_f32(selection + 4 * i, value + load_f32(bias + 4 * i) if bias else value)
            if groups > 1:
                limit_groups(selection, experts, groups, load_i64(args + 40), flags)
            for i in range(experts):
                store_u8(flags + i, 0)
            chosen = load_i64(args + 64) + 8 * used * token
            weights = load_i64(args + 72) + 4 * used * token
            for i in range(used):
                best = take_largest(selection, flags, 0, experts)
                store_i64(chosen + 8 * i, best)
                store_f32(weights + 4 * i, load_f32(scores + 4 * best))
            if after:
                softmax_of(weights, used, weights)
            scale = factor
            if normalise:
                total = np.float32(0)
                for i in range(used):
                    total += load_f32(weights + 4 * i)
                scale = factor / max(total, SMALLEST_SUM)
            for i in range(used):
                store_f32(weights + 4 * i, load_f32(weights + 4 * i) * scale)

    return route
