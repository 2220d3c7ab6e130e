"""RMSNorm (Zhang and Sennrich 2019) and LayerNorm (Ba et al. 2016), row by row.

RMSNorm    y = g x r            r = 1 / sqrt(mean(x^2) + epsilon)
LayerNorm  y = g (x - m) r + b  r = 1 / sqrt(variance + epsilon)
"""

from __future__ import annotations

import numpy as np

from zigllm_cli.train.kernels.compiled import kernel


@kernel
def rms_norm(x, gain, epsilon, y, inverse):
    """Also writes r of each row to `inverse`."""
    width = x.shape[1]
    for n in range(x.shape[0]):
        total = x.dtype.type(0)
        for c in range(width):
            total += x[n, c] * x[n, c]
        r = x.dtype.type(1 / np.sqrt(total / width + epsilon))
        inverse[n] = r
        for c in range(width):
            y[n, c] = x[n, c] * r * gain[c]


@kernel
def rms_norm_backward(x, gain, inverse, dy, dx, accumulate, dgain):
    """dx = r (g dy - x r^2 mean(g dy x)); the gain's gradient is added to `dgain`."""
    width = x.shape[1]
    for n in range(x.shape[0]):
        r = inverse[n]
        dot = x.dtype.type(0)
        for c in range(width):
            dot += dy[n, c] * gain[c] * x[n, c]
        shrink = x.dtype.type(dot / width) * r * r
        for c in range(width):
            old = dx[n, c] if accumulate else x.dtype.type(0)
            dx[n, c] = old + r * (dy[n, c] * gain[c] - x[n, c] * shrink)
        for c in range(width):
            dgain[c] += dy[n, c] * x[n, c] * r


@kernel
def layer_norm(x, gain, bias, epsilon, y, mean, inverse):
    """Also writes m and r of each row."""
    width = x.shape[1]
    for n in range(x.shape[0]):
        total = x.dtype.type(0)
        for c in range(width):
            total += x[n, c]
        m = x.dtype.type(total / width)
        squares = x.dtype.type(0)
        for c in range(width):
            squares += (x[n, c] - m) * (x[n, c] - m)
        r = x.dtype.type(1 / np.sqrt(squares / width + epsilon))
        mean[n], inverse[n] = m, r
        for c in range(width):
            y[n, c] = (x[n, c] - m) * r * gain[c] + bias[c]


@kernel
def layer_norm_backward(x, gain, mean, inverse, dy, dx, accumulate, dgain, dbias):
    """dx = r (g dy - mean(g dy) - z mean(g dy z)) with z = (x - m) r."""
    width = x.shape[1]
    for n in range(x.shape[0]):
        m, r = mean[n], inverse[n]
        total, dot = x.dtype.type(0), x.dtype.type(0)
        for c in range(width):
            g = dy[n, c] * gain[c]
            total += g
            dot += g * (x[n, c] - m)
        shift, shrink = x.dtype.type(total / width), x.dtype.type(dot / width) * r * r
        for c in range(width):
            old = dx[n, c] if accumulate else x.dtype.type(0)
            dx[n, c] = old + r * (dy[n, c] * gain[c] - shift - (x[n, c] - m) * shrink)
        for c in range(width):
            dgain[c] += dy[n, c] * (x[n, c] - m) * r
            dbias[c] += dy[n, c]
