"""What looking at a model asks of it: an opened file, or one that is still to be made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Shaped(Protocol):
    """A tensor's name and its sizes in ggml's order."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


class Described(Protocol):
    """A model: metadata, and tensors by name."""

    @property
    def architecture(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, Shaped]: ...
    def hyperparameter(self, name: str, default: Any = None) -> Any: ...
