"""Hyper-parameters of a file that nobody has checked yet.

A key of the wrong type counts as absent, and per-layer values come as one number or as a list;
who reads them here never meets an exception. Whether they make sense is `check`'s question.
"""

from __future__ import annotations

from zigllm_cli.gguf import Array
from zigllm_cli.inspection.described import Described

MAX_LAYERS = 10_000
"""More blocks than this are a corrupt number, not a model."""


class Hyperparameters:
    """The `{architecture}.*` keys of a file.

    Attributes:
        layers: blocks that are run for every token: without multi-token-prediction blocks,
            and 0 where the file does not say or says nonsense.
    """

    def __init__(self, file: Described) -> None:
        self._file = file
        blocks = self.number("block_count") - self.number("nextn_predict_layers")
        self.layers = blocks if 0 < blocks <= MAX_LAYERS else 0

    def number(self, name: str, default: int = 0) -> int:
        """A whole number; of a per-layer list the largest."""
        value = self._file.hyperparameter(name)
        if isinstance(value, Array):
            numbers = [item for item in value.tolist() if isinstance(item, int)]
            return max(numbers, default=default)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def has(self, name: str) -> bool:
        """Whether the file has the key at all."""
        return self._file.hyperparameter(name) is not None

    def text(self, name: str) -> str:
        """A text, "" where there is none."""
        value = self._file.hyperparameter(name)
        return value if isinstance(value, str) else ""

    def fraction(self, name: str, default: float = 0.0) -> float:
        """A number that need not be whole."""
        value = self._file.hyperparameter(name)
        return float(value) if isinstance(value, int | float) else default

    def per_layer(self, name: str, default: int) -> list[int]:
        """One number for each of `layers`: the scalar repeated, or the list filled up."""
        value = self._file.hyperparameter(name)
        if not isinstance(value, Array):
            return [self.number(name, default)] * self.layers
        numbers = [int(item) for item in value.tolist() if isinstance(item, int)]
        return (numbers + [default] * self.layers)[: self.layers]

    # The three numbers that many modules need, with the defaults of the GGUF conventions.

    def heads(self) -> list[int]:
        """Query heads of each layer."""
        return self.per_layer("attention.head_count", 0)

    def kv_heads(self) -> list[int]:
        """Key/value heads of each layer: as many as query heads unless the file says otherwise."""
        if self.has("attention.head_count_kv"):
            return self.per_layer("attention.head_count_kv", 0)
        return self.heads()

    def head_lengths(self) -> tuple[int, int]:
        """Values per head in a key and in a value; 0 for models without heads."""
        heads = self.number("attention.head_count")
        default = self.number("embedding_length") // heads if heads > 0 else 0
        key = self.number("attention.key_length", default)
        return key, self.number("attention.value_length", default)
