"""Causal attention on a tape: heads apart, two products around a softmax, heads together.

B sequences of T tokens, K key-value heads with G query heads each, D values per head; queries of a
group are rows of one product, so the gradients of keys and values sum over the group by themselves.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from zigllm_cli.train.kernels import attention, elementwise
from zigllm_cli.train.values import Rotation, Value

if TYPE_CHECKING:
    from zigllm_cli.train.tape import Tape


def attend(
    tape: Tape, x: Value, heads: int, kv_heads: int, length: int, rotation: Rotation
) -> Value:
    """See `Tape.attention`."""
    rows, columns = x.data.shape
    batch, dim = rows // length, columns // (heads + 2 * kv_heads)
    starts = 0, heads * dim, (heads + kv_heads) * dim
    group = heads // kv_heads
    turn, still = rotation[length], Rotation.none(tape.dtype)[0]
    shapes = [(batch, kv_heads, n, length, dim) for n in (group, 1, 1)]
    q, k, v = parts = [tape.buffer(*shape) for shape in shapes]
    for part, start, angles in zip(parts, starts, (turn, turn, still), strict=True):
        attention.split_heads(x.data, start, part, *angles)
    flat = batch, kv_heads, group * length, dim
    q, k, v = q.reshape(flat), k[:, :, 0], v[:, :, 0]
    scale = 1 / sqrt(dim)
    p = np.matmul(q, k.swapaxes(2, 3), out=tape.buffer(*flat[:3], length))
    attention.causal_softmax(p.reshape(-1, length), scale)
    rate, key, kept = tape.dropout_rate, 0, p
    if rate:
        key, kept = tape.next_key(), tape.buffer(*p.shape)
        elementwise.dropout(p.ravel(), kept.ravel(), key, rate)
    out = np.matmul(kept, v, out=tape.buffer(*flat))
    y = tape.value(rows, heads * dim)
    attention.merge_heads(out.reshape(shapes[0]), y.data, 0, *still)

    def back() -> None:
        dx, accumulate = tape.gradient(x)
        assert not accumulate
        dout = tape.buffer(*shapes[0])
        attention.split_heads(y.grad, 0, dout, *still)
        dout = dout.reshape(flat)
        dv = np.matmul(kept.swapaxes(2, 3), dout, out=tape.buffer(*v.shape))
        dp = np.matmul(dout, v.swapaxes(2, 3), out=tape.buffer(*p.shape))
        if rate:
            elementwise.dropout(dp.ravel(), dp.ravel(), key, rate)
        attention.causal_softmax_backward(p.reshape(-1, length), dp.reshape(-1, length), scale)
        dq = np.matmul(dp, k, out=tape.buffer(*q.shape))
        dk = np.matmul(dp.swapaxes(2, 3), q, out=tape.buffer(*k.shape))
        for grad, shape, start, angles in zip(
            (dq, dk, dv), shapes, starts, (turn, turn, still), strict=True
        ):
            attention.merge_heads(grad.reshape(shape), dx, start, *angles)

    tape.on_return(back)
    return y
