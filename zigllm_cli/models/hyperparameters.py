"""Hyper-parameters read strictly: what is missing or makes no sense is one sentence."""

from __future__ import annotations

from typing import Any

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import Array, GGUFFile


class Keys:
    """The `{architecture}.*` keys of a file, each read with the bounds of its meaning."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file

    def _value(self, name: str) -> Any:
        return self.file.hyperparameter(name)

    def _full(self, name: str) -> str:
        return f"{self.file.architecture}.{name}"

    def count(self, name: str, default: int | None = None, *, most: int = 1 << 24) -> int:
        """A whole number from 1 (0 where that is the default) to `most`."""
        value = self._value(name)
        if value is None and default is not None:
            return default
        if value is None:
            raise InputError(f"metadata key {self._full(name)} is missing")
        if isinstance(value, Array):
            distinct = set(value.tolist())
            if len(distinct) != 1:
                raise InputError(f"metadata key {self._full(name)} differs between layers")
            (value,) = distinct
        least = 1 if default != 0 else 0
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise InputError(
                f"metadata key {self._full(name)} is {value!r}:"
                f" a number of {least}..{most} is needed"
            )
        return value

    def number(self, name: str, default: float | None = None, *, positive: bool = True) -> float:
        """A finite number, by default above 0."""
        value = self._value(name)
        if value is None and default is not None:
            return default
        if value is None:
            raise InputError(f"metadata key {self._full(name)} is missing")
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not abs(value) < 1e30 or (positive and not value > 0):
            raise InputError(f"metadata key {self._full(name)} is {value!r}: it makes no sense")
        return float(value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._value(name)
        if value is None and default is not None:
            return default
        if value is None:
            raise InputError(f"metadata key {self._full(name)} is missing")
        if not isinstance(value, bool):
            raise InputError(f"metadata key {self._full(name)} is {value!r}, not true or false")
        return value

    def local_layers(self, name: str, blocks: int, default: int) -> tuple[bool, ...]:
        """Which layers see a sliding window only: said one by one, or as a number n.

        n means that every n-th layer sees everything and those before it a window; 1 that all see
        everything, 0 that none does.
        """
        value = self._value(name)
        if isinstance(value, Array):
            flags = value.tolist()
            if len(flags) < blocks or not all(isinstance(flag, bool | int) for flag in flags):
                raise InputError(
                    f"metadata key {self._full(name)} has {len(flags)} entries, but the model"
                    f" has {blocks} layers: one of true or false is needed for each"
                )
            return tuple(map(bool, flags[:blocks]))
        every = self.count(name, default) if value != 0 else 0
        return tuple(every == 0 or layer % every < every - 1 for layer in range(blocks))

    def text(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of some words."""
        value = self._value(name)
        if value is None:
            return default
        if value not in allowed:
            raise InputError(
                f"metadata key {self._full(name)} is {value!r}: known are {', '.join(allowed)}"
            )
        return str(value)
