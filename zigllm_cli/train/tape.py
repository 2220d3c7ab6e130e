"""The operations of one pass in order, so that gradients can go the way back.

    tape = Tape(np.float32)
    tape.begin(training=True)
    h = tape.linear(tape.rms_norm(x, gain, 1e-5), weight)
    loss = tape.cross_entropy(logits, targets, 1 / count)
    tape.backward()

An operation computes at once and, while training, leaves behind a function that turns the gradient
of its result into those of its inputs. Results stand in buffers that the next pass uses again:
fresh memory would cost a page fault per 4 kB. A tape belongs to one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from zigllm_cli.train.attending import attend
from zigllm_cli.train.kernels import cross_entropy, elementwise, embedding, norms
from zigllm_cli.train.values import Array, Change, Rotation, Value


class Tape:
    """See the module.

    Attributes:
        dtype: of all values.
        training: whether the way back is wanted.
        dropout_rate: of every dropout; 0 turns them off.
    """

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self.training = False
        self.dropout_rate = 0.0
        self._key = 0
        self._back: list[Callable[[], None]] = []
        self._buffers: list[Array] = []
        self._used = 0

    def begin(self, *, training: bool, dropout: float = 0.0, key: int = 0) -> None:
        """Forget the last pass. `key` settles what dropout drops."""
        self.training, self.dropout_rate, self._key = training, dropout if training else 0.0, key
        self._back.clear()
        self._used = 0

    def backward(self) -> None:
        """All gradients, from the loss back to the parameters."""
        for step in reversed(self._back):
            step()

    # -------------------------------------------------------------- memory

    def buffer(self, *shape: int) -> Array:
        """An array whose content is not defined."""
        size = prod(shape)
        if self._used == len(self._buffers):
            self._buffers.append(np.empty(size, self.dtype))
        elif self._buffers[self._used].size < size:
            self._buffers[self._used] = np.empty(size, self.dtype)
        found = self._buffers[self._used][:size].reshape(shape)
        self._used += 1
        return found

    def value(self, *shape: int) -> Value:
        """A new result."""
        return Value(self.buffer(*shape))

    def gradient(self, value: Value) -> tuple[Array, bool]:
        """Where a gradient goes, and whether to add it to what is there."""
        accumulate, value.has_grad = value.has_grad, True
        if value.grad is None:
            value.grad = self.buffer(*value.data.shape)
        return value.grad, accumulate

    def summed(self, value: Value) -> Array:
        """Where a gradient is to be added: zeros, if nothing is there yet."""
        grad, accumulate = self.gradient(value)
        if not accumulate:
            grad.fill(0)
        return grad

    def on_return(self, step: Callable[[], None]) -> None:
        if self.training:
            self._back.append(step)

    # -------------------------------------------------------------- tokens and positions

    def embed(self, tokens: Array, table: Value) -> Value:
        """The table's rows of the tokens [N]."""
        y = self.value(tokens.size, table.data.shape[1])
        embedding.embed(tokens, table.data, y.data)
        if not table.frozen:
            self.on_return(lambda: embedding.embed_backward(tokens, y.grad, self.summed(table)))
        return y

    def add_positions(self, x: Value, table: Value, length: int) -> Value:
        """x + the table's row of each position, in place; sequences have `length` tokens."""
        embedding.add_positions(table.data, length, x.data)
        if not table.frozen:
            self.on_return(lambda: embedding.positions_backward(x.grad, length, self.summed(table)))
        return x

    # -------------------------------------------------------------- products and norms

    def linear(self, x: Value, weight: Value, bias: Value | None = None) -> Value:
        """x W^T (+ bias): [N, in] and [out, in] to [N, out]."""
        y = self.value(x.data.shape[0], weight.data.shape[0])
        np.dot(x.data, weight.data.T, out=y.data)
        if bias is not None:
            elementwise.add_bias(y.data, bias.data)

        def back() -> None:
            assert y.grad is not None
            if bias is not None and not bias.frozen:
                elementwise.bias_backward(y.grad, *self.gradient(bias))
            if not weight.frozen:
                self._product(y.grad.T, x.data, weight)
            self._product(y.grad, weight.data, x)

        self.on_return(back)
        for change in weight.changes:
            self._change(x, y, change)
        return y

    def _change(self, x: Value, y: Value, change: Change) -> None:
        """Some columns of y += scale * x A^T B^T.

        Its way back comes before that of the product, and adds to the same gradient of x.
        """
        a, b, scale = change.a, change.b, self.dtype.type(change.scale)
        h = np.dot(x.data, a.data.T, out=self.buffer(x.data.shape[0], a.data.shape[0]))
        y.data[:, change.rows] += scale * np.dot(h, b.data.T)

        def back() -> None:
            assert y.grad is not None
            dy = scale * y.grad[:, change.rows]
            self._product(dy.T, h, b)
            dh = np.dot(dy, b.data, out=self.buffer(*h.shape))
            self._product(dh.T, x.data, a)
            self._product(dh, a.data, x)

        self.on_return(back)

    def _product(self, a: Array, b: Array, value: Value) -> None:
        """The gradient of a value is a b."""
        grad, accumulate = self.gradient(value)
        if accumulate:
            elementwise.add(np.dot(a, b, out=self.buffer(*grad.shape)).ravel(), grad.ravel())
        else:
            np.dot(a, b, out=grad)

    def rms_norm(self, x: Value, gain: Value, epsilon: float) -> Value:
        """RMSNorm of each row."""
        y, inverse = self.value(*x.data.shape), self.buffer(x.data.shape[0])
        norms.rms_norm(x.data, gain.data, epsilon, y.data, inverse)

        def back() -> None:
            dx, accumulate = self.gradient(x)
            dgain = self.summed(gain)
            norms.rms_norm_backward(x.data, gain.data, inverse, y.grad, dx, accumulate, dgain)

        self.on_return(back)
        return y

    def layer_norm(self, x: Value, gain: Value, bias: Value | None, epsilon: float) -> Value:
        """LayerNorm of each row."""
        rows, width = x.data.shape
        y, mean, inverse = self.value(rows, width), self.buffer(rows), self.buffer(rows)
        shift = bias.data if bias is not None else np.zeros(width, self.dtype)
        norms.layer_norm(x.data, gain.data, shift, epsilon, y.data, mean, inverse)

        def back() -> None:
            dx, accumulate = self.gradient(x)
            dgain = self.summed(gain)
            dbias = self.summed(bias) if bias is not None else self.buffer(width)
            norms.layer_norm_backward(
                x.data, gain.data, mean, inverse, y.grad, dx, accumulate, dgain, dbias
            )

        self.on_return(back)
        return y

    def side_by_side(self, parts: list[Value]) -> Value:
        """The columns of several values in one, in order."""
        edges = np.cumsum([0, *(part.data.shape[1] for part in parts)])
        y = self.value(parts[0].data.shape[0], int(edges[-1]))
        places = [slice(*pair) for pair in pairwise(edges.tolist())]
        for part, place in zip(parts, places, strict=True):
            y.data[:, place] = part.data

        def back() -> None:
            assert y.grad is not None
            for part, place in zip(parts, places, strict=True):
                grad, accumulate = self.gradient(part)
                assert not accumulate
                grad[...] = y.grad[:, place]

        self.on_return(back)
        return y

    # -------------------------------------------------------------- single values

    def add(self, x: Value, y: Value) -> Value:
        """x + y, in y's memory: y must come from an operation that needs its result no more.

        Both get the very gradient of the sum, which costs nothing: y's is used up before the
        operation that made y from x adds to x's.
        """
        elementwise.add(x.data.ravel(), y.data.ravel())
        total = Value(y.data)

        def back() -> None:
            assert total.grad is not None
            assert not x.has_grad, "a residual is added behind all other uses of x"
            x.grad = y.grad = total.grad
            x.has_grad = y.has_grad = True

        self.on_return(back)
        return total

    def dropout(self, x: Value) -> Value:
        """x with some values dropped; x itself where the rate is 0."""
        if not self.dropout_rate:
            return x
        y, key = self.value(*x.data.shape), self.next_key()
        rate = self.dropout_rate
        elementwise.dropout(x.data.ravel(), y.data.ravel(), key, rate)

        def back() -> None:
            assert y.grad is not None
            dx, accumulate = self.gradient(x)
            assert not accumulate
            elementwise.dropout(y.grad.ravel(), dx.ravel(), key, rate)

        self.on_return(back)
        return y

    def next_key(self) -> int:
        self._key = (self._key * 0x9E3779B1 + 0x7F4A7C15) & 0xFFFFFFFF
        return self._key

    def gelu(self, x: Value) -> Value:
        """GELU by tanh."""
        return self._unary(x, elementwise.gelu, elementwise.gelu_backward)

    def relu(self, x: Value) -> Value:
        """max(x, 0)."""
        return self._unary(x, elementwise.relu, elementwise.relu_backward)

    def _unary(self, x: Value, forward: Any, backward: Any) -> Value:
        y = self.value(*x.data.shape)
        forward(x.data.ravel(), y.data.ravel())

        def back() -> None:
            assert y.grad is not None
            dx, accumulate = self.gradient(x)
            assert not accumulate
            backward(x.data.ravel(), y.grad.ravel(), dx.ravel())

        self.on_return(back)
        return y

    def swiglu(self, x: Value) -> Value:
        """silu(gate) * up, of [N, 2 F] with gate before up."""
        y = self.value(x.data.shape[0], x.data.shape[1] // 2)
        elementwise.swiglu(x.data, y.data)

        def back() -> None:
            dx, accumulate = self.gradient(x)
            assert not accumulate
            elementwise.swiglu_backward(x.data, y.grad, dx)

        self.on_return(back)
        return y

    # -------------------------------------------------------------- attention

    def attention(
        self, x: Value, *, heads: int, kv_heads: int, length: int, rotation: Rotation
    ) -> Value:
        """Causal attention within sequences of `length` tokens. Vaswani et al. 2017.

        Args:
            x: [N, (heads + 2 kv_heads) D]: queries, keys and values side by side.
            rotation: of queries and keys.
        """
        return attend(self, x, heads, kv_heads, length, rotation)

    # -------------------------------------------------------------- the loss

    def cross_entropy(self, logits: Value, targets: Array, factor: float = 1.0) -> Array:
        """-ln p of the targets [N], 0 where they are negative.

        While training the logits give way to their gradient for `factor` times the sum.
        """
        losses = self.buffer(targets.size)
        if not self.training:
            cross_entropy.cross_entropy(logits.data, targets, losses)
            return losses
        cross_entropy.cross_entropy_gradient(logits.data, targets, losses, factor)
        logits.grad, logits.has_grad = logits.data, True
        return losses
