"""All parameters of a model in one flat array, and where each of them stands.

Those that weight decay pulls at come first: an optimizer's step is then two loops over memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from zigllm_cli.train.shape import Tensor
from zigllm_cli.train.values import Array, Value


class Parameters:
    """The places of tensors in a flat array.

    Attributes:
        tensors: by name, in the model's order.
        size: numbers in all.
        decaying: how many of them, from the start, weight decay pulls at.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = {tensor.name: tensor for tensor in tensors}
        order = sorted(self.tensors.values(), key=lambda tensor: not tensor.decay)
        self._starts: dict[str, int] = {}
        self.size = self.decaying = 0
        for tensor in order:
            self._starts[tensor.name] = self.size
            self.size += tensor.size
            if tensor.decay:
                self.decaying = self.size

    def views(self, flat: Array) -> dict[str, Array]:
        """Every tensor as a part of the flat array."""
        return {
            name: flat[start : start + self.tensors[name].size].reshape(self.tensors[name].shape)
            for name, start in self._starts.items()
        }

    def values(self, flat: Array, gradients: Array) -> dict[str, Value]:
        """Every tensor with the place of its gradient."""
        grads = self.views(gradients)
        return {name: Value(data, grads[name]) for name, data in self.views(flat).items()}

    def initial(self, seed: int, dtype: Any = np.float32) -> Array:
        """Numbers to start from: in the model's order, drawn from one generator."""
        generator = np.random.default_rng([seed, 0x1217])
        flat: Array = np.empty(self.size, dtype)
        views = self.views(flat)
        for name, tensor in self.tensors.items():
            if tensor.std:
                views[name][...] = generator.normal(0, tensor.std, tensor.shape)
            else:
                views[name].fill(tensor.fill)
        return flat
