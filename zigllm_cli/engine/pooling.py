"""From the hidden states of a text's tokens to one vector, or to a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import InputError, UnsupportedError, UsageError
from zigllm_cli.jit import Kernel, call
from zigllm_cli.models.tensors import Tensors
from zigllm_cli.plan.memory import address

if TYPE_CHECKING:
    from zigllm_cli.gguf import GGUFFile

Floats = NDArray[np.float32]

MEANS = Kernel("means")

POOLINGS = ("none", "mean", "cls", "last", "rank")
"""In the order of their numbers in `{architecture}.pooling_type`."""


def pooling_of(file: GGUFFile) -> str | None:
    """The pooling that a file names."""
    number = file.hyperparameter("pooling_type")
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < len(POOLINGS):
        raise InputError(f"pooling_type is {number!r}: known are 0 to {len(POOLINGS) - 1}")
    return POOLINGS[number]


def check_pooling(name: str) -> str:
    """The name itself.

    Raises:
        UsageError: there is no such pooling.
    """
    if name not in POOLINGS:
        raise UsageError(f"pooling {name!r} is unknown: use {', '.join(POOLINGS)}")
    return name


def rows_needed(pooling: str, length: int) -> list[int]:
    """Which of a text's tokens are looked at."""
    if pooling == "cls":
        return [0]
    return [length - 1] if pooling == "last" else list(range(length))


def means(states: Floats, ends: NDArray[np.int64]) -> Floats:
    """The mean of each text's rows.

    Args:
        states: float32 [rows, width], the texts' rows one behind the other.
        ends: int64 [texts], the row behind each text's last one.

    Returns:
        float32 [texts, width].
    """
    out = np.empty((len(ends), states.shape[1]), np.float32)
    words = (address(states), out.shape[1], address(ends), len(ends), address(out))
    args = np.array(words, np.int64)
    call(MEANS)(address(args), 0, 1)
    return out


def normalized(vectors: Floats) -> Floats:
    """Each row at Euclidean length 1; a row of zeros stays."""
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=-1, keepdims=True))
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


class RankHead:
    """The classifier behind a reranker: pooled vectors to scores.

    y = W_out norm(tanh(W x + b)) + b_out, of which either matrix may be missing. Qwen 3's two
    outputs are "yes" and "no": its score is the probability of yes.
    """

    def __init__(self, file: GGUFFile, width: int, *, causal: bool) -> None:
        self.pooling = "last" if causal else "cls"
        self._probability = file.architecture.startswith("qwen3")
        tensors = Tensors(file)
        if not tensors.has("cls.weight") and not tensors.has("cls.output.weight"):
            raise UnsupportedError(
                "the model has no classifier (cls.weight or cls.output.weight): it is not a"
                " reranker"
            )
        self._dense = _linear(tensors, "cls", width)
        self._norm = tensors.optional_vector("cls.norm.weight", width)
        self._output = _linear(tensors, "cls.output", width)

    def scores(self, pooled: Floats) -> Floats:
        """Scores [n, outputs] of vectors [n, width]."""
        y = pooled
        if self._dense is not None:
            y = np.tanh(y @ self._dense[0].T + self._dense[1])
        if self._norm is not None:
            y = y - y.mean(axis=-1, keepdims=True)
            y = y / np.sqrt((y * y).mean(axis=-1, keepdims=True) + 1e-5) * self._norm
        if self._output is not None:
            y = y @ self._output[0].T + self._output[1]
        if self._probability:
            y = np.exp(y - y.max(axis=-1, keepdims=True))
            y = y / y.sum(axis=-1, keepdims=True)
        return np.ascontiguousarray(y, np.float32)


def _linear(tensors: Tensors, name: str, width: int) -> tuple[Floats, Floats] | None:
    """(weights [outputs, width], bias [outputs]), or None where the file has no such tensor."""
    if not tensors.has(f"{name}.weight"):
        return None
    rows = tensors.size(f"{name}.weight") // width
    bias = tensors.optional_vector(f"{name}.bias", rows)
    weight = tensors.table(f"{name}.weight", rows, width)
    return weight, bias if bias is not None else np.zeros(rows, np.float32)
