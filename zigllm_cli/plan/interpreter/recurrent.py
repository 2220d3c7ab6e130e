"""State-space models, token by token from a state of zeros."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Array, Interpreter, run
from zigllm_cli.plan.operations import SelectiveScan, ShortConvolution


@run.register(ShortConvolution)
def short_convolution(op: ShortConvolution, at: Interpreter) -> None:
    """A sum over taps of x, moved by as many tokens."""
    x, taps = at.read(op.x), len(op.weight)
    padded: Array = np.concatenate([np.zeros((taps - 1, x.shape[1])), x]).astype(at.dtype)
    y = sum(op.weight[k].astype(at.dtype) * padded[k : k + len(x)] for k in range(taps))
    if op.bias is not None:
        y = y + op.bias
    at.write(op.out, y / (1 + np.exp(-y)))


@run.register(SelectiveScan)
def selective_scan(op: SelectiveScan, at: Interpreter) -> None:
    """The recurrence as it is written."""
    tokens, channels, kind = len(at.tokens), op.out.width, at.dtype
    dim = channels // op.heads
    x, delta = at.read(op.x), at.read(op.delta)
    a: Array = op.a.astype(kind)
    d: Array = op.d.astype(kind)
    if not op.per_channel:
        delta, a, d = (np.repeat(v, dim, axis=-1) for v in (delta, a, d))
        a = a[:, None]
    of_channel = np.arange(channels) // dim * op.groups // op.heads
    b = at.read(op.b).reshape(tokens, op.groups, op.states)[:, of_channel]
    c = at.read(op.c).reshape(tokens, op.groups, op.states)[:, of_channel]
    h: Array = np.zeros((channels, op.states), kind)
    y: Array = np.empty((tokens, channels), kind)
    for t in range(tokens):
        h = h * np.exp(delta[t, :, None] * a) + (delta[t] * x[t])[:, None] * b[t]
        y[t] = (h * c[t]).sum(axis=-1) + d * x[t]
    at.write(op.out, y)
