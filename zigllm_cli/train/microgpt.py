"""microgpt as the original trains it: float64, one name per step, Python's own random numbers.

One generator shuffles the documents, draws the parameters, and at the end the samples; training
itself draws nothing. So the results are those of the original, number by number.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from zigllm_cli.train.kernels import microgpt as kernels
from zigllm_cli.train.kernels.adamw import adamw
from zigllm_cli.train.models import model
from zigllm_cli.train.network import Network
from zigllm_cli.train.parameters import Parameters
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.shape import Shape
from zigllm_cli.train.values import Array


class MicroNetwork(Network):
    """A network whose gradient is one call."""

    @classmethod
    def drawn(cls, shape: Shape, random: Random, dtype: Any = np.float64) -> MicroNetwork:
        """Parameters of a normal distribution, one by one in the order of the model's tensors."""
        parameters = Parameters(model(shape.architecture).tensors(shape))
        flat = np.array([random.gauss(0, shape.init) for _ in range(parameters.size)], dtype)
        return cls(shape, flat, parameters=parameters)

    def learn(
        self, tokens: Array, targets: Array, *, factor: float, dropout: float, key: int, more: bool
    ) -> float:
        """See `Network.learn`; there is no dropout."""
        s = self.shape
        sizes = (s.vocabulary, s.context, s.width, s.heads, s.ff, s.layers)
        if not more:
            self._total.fill(0)
        loss = 0.0
        for row, wanted in zip(tokens, targets, strict=True):
            length = int((wanted >= 0).sum())
            loss += kernels.learn(
                *(self.flat, self._total, row[:length], wanted[:length]),
                *(sizes, s.epsilon, factor),
            )
        return loss

    @property
    def norm(self) -> float:
        """Length of the gradient."""
        return float(np.sqrt(self._total @ self._total))

    def step(self, s: Settings, number: int, rate: float) -> None:
        """Adam's step, the first being number 1."""
        factor = min(1.0, s.clip / (self.norm + 1e-6)) if s.clip else 1.0
        adamw(
            *(self.flat, self._total, self.first, self.second, rate),
            *(s.beta1, s.beta2, s.adam_epsilon, s.weight_decay, float(number), factor),
        )


def sample(network: Network, random: Random, boundary: int, temperature: float) -> list[int]:
    """A document, drawn token by token until its boundary or the end of the context."""
    ids, found = [boundary], list[int]()
    for _ in range(network.shape.context):
        logits: Any = network.logits(np.array([ids], np.int32))[0, -1] / temperature
        weights = np.exp(logits - logits.max())
        (token,) = random.choices(range(len(weights)), weights=(weights / weights.sum()).tolist())
        if token == boundary:
            break
        found.append(token)
        ids.append(token)
    return found
