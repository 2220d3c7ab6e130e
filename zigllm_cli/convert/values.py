"""A source's tensor as an array that is not read yet, and what conversions do with such arrays.

    values.part(0, 64)                         # rows
    values.moved((4, 8), lambda a: a.T)        # the same numbers in another order
    values.computed(lambda a: a + 1)           # other numbers, as float32
    stacked([expert_0, expert_1])              # several as one

Shapes are NumPy's, the contiguous dimension last. Nothing is read before `read` is called, once;
what has to be moved is moved then, so that one tensor at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.convert.conversion import SourceTensor
from zigllm_cli.errors import InputError
from zigllm_cli.gguf.types import TensorType, tensor_type

Array = NDArray[Any]

DTYPES = {
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "F64": "<f8",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}
"""NumPy's dtype of each type's values; those of BF16 are the upper halves of floats."""


@dataclass(frozen=True)
class Values:
    """A tensor under the name that its source has for it.

    Attributes:
        shape: NumPy's: the contiguous dimension last.
        type: of the values.
        read: gives them, in this shape.
        release: lets the pages they were read from go.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    read: Callable[[], Array]
    release: Callable[[], None] | None = None

    def becomes(self, name: str) -> SourceTensor:
        """The tensor of a conversion under a GGUF name."""
        shape = tuple(reversed(self.shape)) or (1,)
        return SourceTensor(name, shape, self.type, self.read, self.release)

    def moved(self, shape: tuple[int, ...], move: Callable[[Array], Array]) -> Values:
        """The same numbers elsewhere, or some of them: `move` gives an array of `shape`."""
        return Values(self.name, shape, self.type, lambda: move(self.read()), self.release)

    def reshaped(self, *shape: int) -> Values:
        """The same numbers in the same order.

        Raises:
            InputError: there are fewer or more of them.
        """
        if prod(shape) != prod(self.shape):
            raise InputError(f"{self.name} of shape {self.shape} cannot become {shape}")
        return self.moved(shape, lambda array: array.reshape(shape))

    def squeezed(self) -> Values:
        """Without dimensions of 1."""
        return self.reshaped(*(extent for extent in self.shape if extent != 1))

    def transposed(self) -> Values:
        """With the last two dimensions exchanged."""
        shape = (*self.shape[:-2], self.shape[-1], self.shape[-2])
        return self.moved(shape, lambda array: array.swapaxes(-1, -2))

    def part(self, start: int, stop: int, axis: int = 0) -> Values:
        """What lies between two places of a dimension.

        Raises:
            InputError: there are not so many.
        """
        axis %= max(len(self.shape), 1)
        if not self.shape or not 0 <= start <= stop <= self.shape[axis]:
            raise InputError(f"{self.name} of shape {self.shape} has no part {start} to {stop}")
        shape = (*self.shape[:axis], stop - start, *self.shape[axis + 1 :])
        index = (slice(None),) * axis + (slice(start, stop),)
        return self.moved(shape, lambda array: array[index])

    def split(self, *sizes: int, axis: int = 0) -> list[Values]:
        """Parts of these sizes, which must be all there is.

        Raises:
            InputError: they are not.
        """
        axis %= max(len(self.shape), 1)
        if not self.shape or sum(sizes) != self.shape[axis]:
            raise InputError(f"{self.name} of shape {self.shape} cannot be split into {sizes}")
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        return [
            self.part(start, start + size, axis) for start, size in zip(starts, sizes, strict=True)
        ]

    def computed(self, compute: Callable[[Array], Array]) -> Values:
        """Other numbers, made from these as float32."""
        read = self.floats
        return Values(
            self.name, self.shape, tensor_type("F32"), lambda: compute(read()), self.release
        )

    def floats(self) -> Array:
        """Read them as float32."""
        array = self.read()
        if self.type.name == "BF16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array.astype(np.float32)


def stacked(parts: Sequence[Values]) -> Values:
    """Tensors of one shape and type as one with a dimension more.

    Raises:
        InputError: they are not of one shape and type.
    """
    first = parts[0]
    for part in parts:
        if (part.shape, part.type) != (first.shape, first.type):
            raise InputError(
                f"{part.name} is {part.type} of shape {part.shape}, {first.name} "
                f"{first.type} of shape {first.shape}; they should be alike"
            )
    return _joined(parts, (len(parts), *first.shape), stack=True)


def concatenated(parts: Sequence[Values]) -> Values:
    """Tensors one below the other, as one.

    Raises:
        InputError: their rows or their types differ.
    """
    first = parts[0]
    for part in parts:
        if (part.shape[1:], part.type) != (first.shape[1:], first.type):
            raise InputError(f"{part.name} and {first.name} do not fit together")
    return _joined(parts, (sum(part.shape[0] for part in parts), *first.shape[1:]), stack=False)


def _joined(parts: Sequence[Values], shape: tuple[int, ...], *, stack: bool) -> Values:
    def read() -> Array:
        out = np.empty(shape, DTYPES.get(parts[0].type.name, "u1"))
        row = 0
        for part in parts:
            if stack:
                out[row] = part.read()
                row += 1
            else:
                out[row : row + part.shape[0]] = part.read()
                row += part.shape[0]
            if part.release is not None:
                part.release()
        return out

    return Values(parts[0].name, shape, parts[0].type, read)


def constant(name: str, numbers: Sequence[float]) -> Values:
    """Numbers that are known already, as float32."""

    def read() -> Array:
        return np.array(numbers, np.float32)

    return Values(name, (len(numbers),), tensor_type("F32"), read)
