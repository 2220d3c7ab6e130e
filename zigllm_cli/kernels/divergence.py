"""Kullback-Leibler divergence of rows of logits from those of a base model.

    KLD = sum over the vocabulary of p (log p - log q)      p: base, q: model

Kullback and Leibler 1951.

Every row comes with the logarithm of its sum of exponentials, as two floats that add up to it:
taken away one after the other they cost no digits. Base entries whose log p is not above `floor`
are passed over.

    args  0 base (f32 [rows, width])        1 bytes from row to row of base
          2 logits (f32 [rows, width])      3 bytes from row to row of logits
          4 width                           5 rows
          6 log sums (f32 [rows, 4]: base high, low, model high, low)
          7 floor (float64)                 8 out (float64 [rows])
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.edges import load_part
from zigllm_cli.kernels.inline import part
from zigllm_cli.kernels.share import share
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import (
    first_lanes,
    greater,
    lane_sum,
    narrow_f64,
    select,
    splat_f32x16,
    zero_f32x16,
)
from zigllm_cli.simd.math import exp
from zigllm_cli.simd.memory import load_f32, load_f64, load_i64, store_f64

BLOCK = 64 * 16
"""Floats that are added before their sum becomes a double."""


@part
def minus_log_sum(x, log_sum):
    """Log-probabilities: x less the two floats at an address."""
    return x - splat_f32x16(load_f32(log_sum)) - splat_f32x16(load_f32(log_sum + 4))


@part
def row_divergence(base, logits, width, log_sums, floor):
    """The divergence of one row."""
    total = 0.0
    for start in range(0, width, BLOCK):
        stop, terms = min(width, start + BLOCK), zero_f32x16()
        for i in range(start, stop, 16):
            p = minus_log_sum(load_part(base + 4 * i, stop - i), log_sums)
            q = minus_log_sum(load_part(logits + 4 * i, stop - i), log_sums + 8)
            term = select(greater(p, floor), exp(p) * (p - q), zero_f32x16())
            if stop - i < 16:
                term = select(first_lanes(stop - i), term, zero_f32x16())
            terms = terms + term
        total += np.float64(lane_sum(terms))
    return total


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def divergence(args, thread, threads):
        width, floor = load_i64(args + 32), splat_f32x16(narrow_f64(load_f64(args + 56)))
        first, last = share(load_i64(args + 40), 1, thread, threads)
        for row in range(first, last):
            base = load_i64(args) + row * load_i64(args + 8)
            logits = load_i64(args + 16) + row * load_i64(args + 24)
            log_sums = load_i64(args + 48) + 16 * row
            value = row_divergence(base, logits, width, log_sums, floor)
            store_f64(load_i64(args + 64) + 8 * row, value)

    return divergence
