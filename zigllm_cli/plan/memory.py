"""Memory of a plan: buffers for values and records, touched only as far as used."""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

PAD = 16
"""Tokens beyond the batch for which there is room: a register tile may run over its end."""

Bytes = NDArray[np.uint8]


def aligned(size: int) -> Bytes:
    """Zeros from a fresh mapping: page-aligned, and not committed before they are touched."""
    return np.frombuffer(mmap.mmap(-1, max(size, 1)), np.uint8)[:size]


def address(array: NDArray[np.generic]) -> int:
    """Where an array's first element stands."""
    return int(array.__array_interface__["data"][0])


class Buffers:
    """Memory by name, as large as the largest request of that name."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._blocks: dict[str, Bytes] = {}

    def reserve(self, name: str, size: int) -> None:
        """Ask for at least `size` bytes under a name, before any address is taken."""
        assert name not in self._blocks or size <= len(self._blocks[name]), name
        self._sizes[name] = max(size, self._sizes.get(name, 0))

    def has(self, name: str) -> bool:
        """Whether anybody asked for this name."""
        return name in self._sizes

    def block(self, name: str) -> Bytes:
        """The bytes of a name."""
        if name not in self._blocks:
            self._blocks[name] = aligned(self._sizes[name])
        return self._blocks[name]

    def address(self, name: str) -> int:
        """The address of a name's bytes."""
        return address(self.block(name))

    @property
    def nbytes(self) -> int:
        """Bytes reserved in all."""
        return sum(self._sizes.values())
