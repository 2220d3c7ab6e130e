"""What quantising asks of a model and of its tensors, wherever they come from.

A GGUF file that was opened is one such model, a checkpoint that is being converted another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from zigllm_cli.gguf.types import TensorType

if TYPE_CHECKING:
    import numpy as np


class Weights(Protocol):
    """A tensor; `gguf.Tensor` tells what its members mean."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def type(self) -> TensorType: ...
    @property
    def order(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def n_elements(self) -> int: ...
    @property
    def row_length(self) -> int: ...
    @property
    def rows(self) -> int: ...
    def numpy(self) -> np.ndarray[Any, np.dtype[np.uint8]]: ...
    def forget(self, start: int, stop: int) -> None: ...


class ModelWeights(Protocol):
    """A model: its tensors by name, and its hyper-parameters."""

    @property
    def architecture(self) -> str: ...
    @property
    def tensors(self) -> Mapping[str, Weights]: ...
    def hyperparameter(self, name: str, default: Any = None) -> Any: ...
