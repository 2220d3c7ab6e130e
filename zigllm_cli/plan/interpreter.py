"""Runs a plan in NumPy: slow, plain, and the oracle of tests.

It shares with the kernels only the description. Products use every weight as a float and
activations as they are, so for a quantised file it gives what the file means, without the
rounding of activations that makes the kernels fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatchmethod

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.plan.operations import (
    Activation,
    Attention,
    Embed,
    Operation,
    Product,
    RmsNorm,
    Rope,
    Select,
    StoreCache,
    Value,
    Weight,
)
from zigllm_cli.plan.plan import Plan
from zigllm_cli.quants import dequantize

Array = NDArray[np.float64]


class Interpreter:
    """Runs the tokens of one sequence from an empty context.

    Args:
        plan: what a model file built.
        dtype: of the arithmetic; float64 as an oracle, float32 to be like the kernels.
    """

    def __init__(self, plan: Plan, dtype: type = np.float64) -> None:
        self.plan, self.dtype = plan, dtype
        self._weights: dict[str, Array] = {}

    def logits(self, tokens: Sequence[int]) -> Array:
        """Logits of all positions, [tokens, vocabulary]."""
        self.tokens = np.asarray(tokens)
        self.positions = np.arange(len(tokens))
        self.values: dict[str, Array] = {}
        self.cache: dict[int, tuple[Array, Array]] = {}
        for operation in self.plan.operations:
            self.run(operation)
        assert self.plan.logits is not None
        return self.values[self.plan.logits.name]

    def _weight(self, weight: Weight) -> Array:
        if weight.name not in self._weights:
            values = dequantize(weight.data, weight.type, weight.columns)
            self._weights[weight.name] = values.astype(self.dtype)
        return self._weights[weight.name]

    def _read(self, value: Value) -> Array:
        return self.values[value.name]

    def _write(self, value: Value, array: Array) -> None:
        assert array.shape == (len(self.tokens), value.width), f"{value.name}: {array.shape}"
        self.values[value.name] = array

    @singledispatchmethod
    def run(self, op: Operation) -> None:
        """One operation."""
        raise UnsupportedError(f"the interpreter does not know {type(op).__name__}")

    @run.register
    def _(self, op: Embed) -> None:
        self._write(op.out, self._weight(op.weight)[self.tokens] * op.scale)

    @run.register
    def _(self, op: RmsNorm) -> None:
        x = self._read(op.x).reshape(len(self.tokens), op.parts, -1)
        x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + op.epsilon)
        if op.weight is not None:
            x = x * op.weight.astype(self.dtype)
        self._write(op.out, x.reshape(len(self.tokens), -1))

    @run.register
    def _(self, op: Product) -> None:
        y = self._read(op.x) @ self._weight(op.weight).T
        if op.bias is not None:
            y = y + op.bias.astype(self.dtype)
        self._write(op.out, self._read(op.out) + y if op.add else y)

    @run.register
    def _(self, op: Rope) -> None:
        n, r = len(self.tokens), op.rotation
        x = self._read(op.out).reshape(n, op.heads, op.head_dim).copy()
        angles = self.positions[:, None, None] * np.asarray(r.frequencies)
        turn = r.magnitude * np.exp(1j * angles)
        half = r.dimensions // 2
        if r.pairing == "norm":
            first, second = slice(0, r.dimensions, 2), slice(1, r.dimensions, 2)
        else:
            first, second = slice(0, half), slice(half, r.dimensions)
        turned = (x[..., first] + 1j * x[..., second]) * turn
        x[..., first], x[..., second] = turned.real, turned.imag
        self._write(op.out, x.reshape(n, -1))

    @run.register
    def _(self, op: StoreCache) -> None:
        n = len(self.tokens)
        keys = self._read(op.out).reshape(n, op.heads, op.key_dim)
        values = self._read(op.values).reshape(n, op.heads, op.value_dim)
        self.cache[op.layer] = keys, values

    @run.register
    def _(self, op: Attention) -> None:
        n = len(self.tokens)
        q = self._read(op.q).reshape(n, op.kv_heads, -1, op.key_dim)
        keys, values = self.cache[op.layer]
        scores = np.einsum("qhgd,khd->hgqk", q, keys) * op.scale
        if op.softcap:
            scores = op.softcap * np.tanh(scores / op.softcap)
        distance = self.positions[:, None] - self.positions[None, :]
        hidden = distance < 0
        if op.window:
            hidden |= distance >= op.window
        scores = np.where(hidden, -np.inf, scores)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hgqk,khd->qhgd", scores, values)
        self._write(op.out, mixed.reshape(n, -1))

    @run.register
    def _(self, op: Activation) -> None:
        y = _FUNCTIONS[op.function](self._read(op.gate))
        self._write(op.out, y * self._read(op.up) if op.up else y)

    @run.register
    def _(self, op: Select) -> None:
        self._write(op.out, self._read(op.x))


def _silu(x: Array) -> Array:
    y: Array = x / (1 + np.exp(-x))
    return y


_FUNCTIONS = {"silu": _silu}
