"""AdamW (Loshchilov and Hutter 2019) over flat arrays, and the sums that it needs."""

from __future__ import annotations

import numpy as np

from zigllm_cli.train.kernels.compiled import kernel

BLOCK = 2048
"""Numbers that are summed up while they are in the first-level cache."""


@kernel
def sum_gradients(parts, total, accumulate):
    """total[i] = the sum of parts[:, i]; returns the sum of the totals' squares.

    Args:
        accumulate: add to what stands there.
    """
    squares = 0.0
    for start in range(0, total.size, BLOCK):
        out = total[start : start + BLOCK]
        if not accumulate:
            out[:] = 0
        for s in range(parts.shape[0]):
            part = parts[s, start : start + BLOCK]
            for i in range(out.size):
                out[i] += part[i]
        for i in range(out.size):
            squares += np.float64(out[i]) * np.float64(out[i])
    return squares


@kernel
def adamw(w, g, m, v, rate, beta1, beta2, epsilon, decay, step, factor):
    """One step, the first being 1; the gradient counts `factor` times (clipping).

    w -= rate (m' / (sqrt(v') + epsilon) + decay w), m' and v' the means without their bias.
    """
    kind = w.dtype.type
    b1, b2, c1, c2 = kind(beta1), kind(beta2), kind(1 - beta1), kind(1 - beta2)
    size = kind(rate / (1 - beta1**step))
    root = kind(1 / np.sqrt(1 - beta2**step))
    keep, eps, part = kind(1 - rate * decay), kind(epsilon), kind(factor)
    for i in range(w.size):
        gradient = g[i] * part
        m[i] = b1 * m[i] + c1 * gradient
        v[i] = b2 * v[i] + c2 * gradient * gradient
        w[i] = keep * w[i] - size * m[i] / (np.sqrt(v[i]) * root + eps)
