"""The memory of layers that do not attend: for each sequence a state of fixed size, in float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.plan.memory import aligned


@dataclass(frozen=True)
class StateShape:
    """What one layer keeps of a sequence.

    Attributes:
        parts: floats of each part: the last inputs of a convolution, the state of a scan.
    """

    parts: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes per sequence."""
        return sum(self.sizes)

    @property
    def sizes(self) -> Sequence[int]:
        """Bytes of each part, filled up to whole cache lines so that vectors stay within one."""
        return [-(-4 * floats // 64) * 64 for floats in self.parts]


class LayerState:
    """The states of one layer.

    Attributes:
        parts: uint8 [sequences, bytes] each.
    """

    def __init__(self, shape: StateShape, sequences: int) -> None:
        self.parts = [aligned(sequences * size).reshape(sequences, size) for size in shape.sizes]

    @property
    def nbytes(self) -> int:
        """Bytes of all sequences."""
        return sum(part.nbytes for part in self.parts)

    def used(self, sequence: int, length: int) -> Iterator[NDArray[np.uint8]]:
        """The bytes of a sequence of so many positions; none of an empty one."""
        for part in self.parts if length else ():
            yield part[sequence]
