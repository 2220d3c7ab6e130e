"""Tables of cosines and sines: one row per position, filled as far as a context has grown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import Rotation

CHUNK = 256
"""Positions that are filled at a time."""


class RopeTables:
    """A table per kind of rotation: float32 [positions, dimensions], cosines then sines.

    Args:
        context: positions there is room for; memory is touched only where it is filled.
    """

    def __init__(self, context: int) -> None:
        self.context = context
        self._tables: dict[Rotation, NDArray[np.float32]] = {}
        self._filled: dict[Rotation, int] = {}

    def address(self, rotation: Rotation) -> int:
        """Where the table of a rotation stands."""
        if rotation not in self._tables:
            self._tables[rotation] = np.empty((self.context, rotation.dimensions), np.float32)
            self._filled[rotation] = 0
        return address(self._tables[rotation])

    def fill(self, positions: int) -> None:
        """Make every table good for positions below `positions`."""
        for rotation, filled in self._filled.items():
            if filled < positions:
                last = min(-(-positions // CHUNK) * CHUNK, self.context)
                angles = np.arange(filled, last)[:, None] * np.asarray(rotation.frequencies)
                table = self._tables[rotation][filled:last]
                half = rotation.dimensions // 2
                table[:, :half] = np.cos(angles) * rotation.magnitude
                table[:, half:] = np.sin(angles) * rotation.magnitude
                self._filled[rotation] = last
