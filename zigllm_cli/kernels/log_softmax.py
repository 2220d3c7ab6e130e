"""What rows of logits say of one token each: its log-probability is logit - maximum - log(sum).

    sum = sum over the vocabulary of exp(logit - maximum)

Floats are added 1024 at a time and these sums as doubles, so that a vocabulary of 150,000 costs
no digits. Two passes, each row by one thread; nothing is written back.

    args  0 logits (f32 [rows, width])      1 bytes from row to row
          2 width                           3 rows
          4 tokens (int64 [rows])           5 out: per row five words of 64 bits

Out, in this order: maximum, sum, the token's logit (float64); how many tokens have a larger
logit than this one, and the first token with the maximum (int64).
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.edges import load_first, load_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import (
    fill,
    first_lanes,
    greater,
    lane_sum,
    select,
    splat_f32x16,
    zero_f32x16,
)
from zigllm_cli.simd.math import exp
from zigllm_cli.simd.memory import (
    load_f32,
    load_f32x16,
    load_i64,
    stack_room,
    store_f64,
    store_i64,
    store_vec,
)
from zigllm_cli.simd.vector import f32x16

ROW_WORDS = 5
BLOCK = 64 * 16
"""Floats that are added before their sum becomes a double."""

lowest = fill(f32x16, -3.4028234663852886e38)
one = fill(f32x16, 1.0)
lanes_room = stack_room(128)


@part
def load_or_lowest(p, count):
    """Up to sixteen floats; behind the end what is never a maximum."""
    if count >= 16:
        return load_f32x16(p)
    return select(first_lanes(count), load_first(p, count), lowest())


@part
def first_maximum(x, width, room):
    """The first place of the largest of `width` floats (exact up to 2^28 of them)."""
    best, places, place = load_or_lowest(x, width), zero_f32x16(), zero_f32x16()
    for i in range(16, width, 16):
        v = load_or_lowest(x + 4 * i, width - i)
        place = place + one()
        better = greater(v, best)
        best, places = select(better, v, best), select(better, place, places)
    store_vec(room, best)
    store_vec(room + 64, places)
    found = np.int64(load_f32(room + 64)) * 16
    largest = load_f32(room)
    for lane in range(1, min(width, 16)):
        value = load_f32(room + 4 * lane)
        at = np.int64(load_f32(room + 64 + 4 * lane)) * 16 + lane
        if value > largest or (value == largest and at < found):
            largest, found = value, at
    return found


@part
def sum_and_larger(x, width, maximum, logit):
    """(sum of exp(x - maximum), how many are larger than `logit`)."""
    shift, bar = splat_f32x16(maximum), splat_f32x16(logit)
    total, larger = 0.0, 0.0
    for start in range(0, width, BLOCK):
        stop = min(width, start + BLOCK)
        whole = stop - (stop - start) % 16
        a, b = zero_f32x16(), zero_f32x16()
        for i in range(start, whole, 16):
            v = load_f32x16(x + 4 * i)
            a = a + exp(v - shift)
            b = b + select(greater(v, bar), one(), zero_f32x16())
        if whole < stop:
            v = load_part(x + 4 * whole, stop - whole)
            mask = first_lanes(stop - whole)
            a = a + select(mask, exp(v - shift), zero_f32x16())
            counted = select(greater(v, bar), one(), zero_f32x16())
            b = b + select(mask, counted, zero_f32x16())
        total += np.float64(lane_sum(a))
        larger += np.float64(lane_sum(b))
    return total, larger


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def log_softmax(args, thread, threads):
        width, room = load_i64(args + 16), lanes_room()
        first, last = share(load_i64(args + 24), 1, thread, threads)
        for row in range(first, last):
            x = load_i64(args) + row * load_i64(args + 8)
            out = load_i64(args + 40) + 8 * ROW_WORDS * row
            logit = load_f32(x + 4 * load_i64(load_i64(args + 32) + 8 * row))
            top = first_maximum(x, width, room)
            maximum = load_f32(x + 4 * top)
            total, larger = sum_and_larger(x, width, maximum, logit)
            store_f64(out, np.float64(maximum))
            store_f64(out + 8, total)
            store_f64(out + 16, np.float64(logit))
            store_i64(out + 24, np.int64(larger))
            store_i64(out + 32, top)

    return log_softmax
