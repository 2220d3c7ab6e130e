"""Functions of single values: sums, GELU, ReLU, SwiGLU, dropout. Arrays are flat."""

from __future__ import annotations

import numpy as np

from zigllm_cli.train.kernels.compiled import kernel
from zigllm_cli.train.kernels.exponential import exp

GELU_SCALE = np.sqrt(2 / np.pi)
GELU_CUBE = 0.044715


@kernel
def add(x, y):
    """Y += x."""
    for i in range(y.size):
        y[i] += x[i]


@kernel
def add_bias(y, bias):
    """Y[n, c] += bias[c]."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[n, c] += bias[c]


@kernel
def bias_backward(dy, dbias, accumulate):
    """The bias's gradient: the sum over tokens of y's."""
    if not accumulate:
        dbias[:] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            dbias[c] += dy[n, c]


@kernel
def gelu(x, y):
    """Y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Hendrycks and Gimpel 2016."""
    one, two = x.dtype.type(1), x.dtype.type(2 * GELU_SCALE)
    cube = x.dtype.type(GELU_CUBE)
    for i in range(x.size):
        v = x[i]
        y[i] = v / (one + exp(-two * (v + cube * v * v * v)))


@kernel
def gelu_backward(x, dy, dx):
    """With s = sigmoid(2u): dy (s + x s (1 - s) 2u')."""
    one, two = x.dtype.type(1), x.dtype.type(2 * GELU_SCALE)
    cube, three = x.dtype.type(GELU_CUBE), x.dtype.type(3 * GELU_CUBE)
    for i in range(x.size):
        v = x[i]
        s = one / (one + exp(-two * (v + cube * v * v * v)))
        dx[i] = dy[i] * (s + v * s * (one - s) * two * (one + three * v * v))


@kernel
def relu(x, y):
    """Y = max(x, 0)."""
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = max(x[i], zero)


@kernel
def relu_backward(x, dy, dx):
    """What was above 0 lets its gradient through."""
    zero = x.dtype.type(0)
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > zero else zero


@kernel
def swiglu(x, y):
    """Y[n, f] = silu(gate) * up, gate and up the halves of x's row. Shazeer 2020."""
    one, width = x.dtype.type(1), y.shape[1]
    for n in range(y.shape[0]):
        gate, up = x[n, :width], x[n, width:]
        for f in range(width):
            y[n, f] = gate[f] / (one + exp(-gate[f])) * up[f]


@kernel
def swiglu_backward(x, dy, dx):
    """Gradients of both halves."""
    one, width = x.dtype.type(1), dy.shape[1]
    for n in range(dy.shape[0]):
        gate, up = x[n, :width], x[n, width:]
        for f in range(width):
            s = one / (one + exp(-gate[f]))
            dx[n, f] = dy[n, f] * up[f] * s * (one + gate[f] * (one - s))
            dx[n, width + f] = dy[n, f] * gate[f] * s


@kernel
def random_bits(key, index):
    """32 bits that depend on key and index alone: the finaliser of MurmurHash 3."""
    h = np.uint32(index) * np.uint32(0x9E3779B1) + np.uint32(key)
    h = np.uint32(h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = np.uint32(h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return np.uint32(h ^ (h >> np.uint32(16)))


@kernel
def dropout(x, y, key, rate):
    """Y = x / (1 - rate), but 0 where chance, which `key` settles, wants it so.

    Forward and backward are the same: Srivastava et al. 2014.
    """
    zero, factor = x.dtype.type(0), x.dtype.type(1 / (1 - rate))
    limit = np.uint32(rate * 2.0**32)
    for i in range(x.size):
        y[i] = x[i] * factor if random_bits(key, i) >= limit else zero
