"""The walk over a plan, and the arrays that operations read and write."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.plan.operations import Operation, Value, Weight
from zigllm_cli.plan.plan import Plan
from zigllm_cli.quants import dequantize

Array = NDArray[np.float64]


class Interpreter:
    """Runs the tokens of one sequence from an empty context.

    Args:
        plan: what a model file built.
        dtype: of the arithmetic; float64 as an oracle, float32 to be like the kernels.

    Attributes:
        tokens, positions: of the run.
        values: what stands under each name.
        cache: keys [tokens, heads, dim] and values of each layer.
        chosen: the experts of each token, [tokens, used], as routed last.
    """

    def __init__(self, plan: Plan, dtype: type = np.float64) -> None:
        self.plan, self.dtype = plan, dtype
        self._weights: dict[str, Array] = {}

    def logits(self, tokens: Sequence[int]) -> Array:
        """Logits of all positions, [tokens, vocabulary]; an encoder's hidden states."""
        self.tokens = np.asarray(tokens)
        self.positions = np.arange(len(tokens))
        self.values: dict[str, Array] = {}
        self.cache: dict[int, tuple[Array, Array]] = {}
        self.chosen: NDArray[np.int64] = np.empty((0, 0), np.int64)
        for operation in self.plan.operations:
            run(operation, self)
        return self.values[self.plan.result.name]

    def weight(self, weight: Weight) -> Array:
        """A matrix as floats, [rows, columns]."""
        if weight.name not in self._weights:
            values = dequantize(weight.data, weight.type, weight.columns)
            self._weights[weight.name] = values.astype(self.dtype)
        return self._weights[weight.name]

    def read(self, value: Value) -> Array:
        """What stands in a value, [tokens, width]."""
        return self.values[value.name]

    def write(self, value: Value, array: Array) -> None:
        """Put an array into a value."""
        array = array.reshape(len(self.tokens), -1)
        assert array.shape[1] == value.width, f"{value.name}: {array.shape}"
        self.values[value.name] = array


@singledispatch
def run(op: Operation, at: Interpreter) -> None:
    """One operation."""
    raise UnsupportedError(f"the interpreter does not know {type(op).__name__}")
