"""What a tape works with: arrays with gradients, low-rank changes of matrices, rotary angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(slots=True, eq=False)
class Value:
    """An array and, on the way back, its gradient.

    Attributes:
        grad: of the same shape; None until it is needed.
        has_grad: whether something was put there in this pass.
        frozen: a parameter that is not learned: gradients of matrices are not computed.
        changes: low-rank matrices that are added to this one.
    """

    data: Array
    grad: Array | None = None
    has_grad: bool = False
    frozen: bool = False
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """scale * B A, added to some rows of a matrix. Hu et al. 2021 (LoRA).

    Attributes:
        rows: of the matrix.
        a, b: [rank, columns] and [rows, rank].
    """

    rows: slice
    a: Value
    b: Value
    scale: float


@dataclass(frozen=True)
class Rotation:
    """cos and sin of position times frequency, [T, D/2]; no rows where heads are not turned."""

    cos: Array
    sin: Array

    @classmethod
    def none(cls, dtype: Any) -> Rotation:
        """For models that know positions in another way."""
        nothing = np.empty((0, 1), dtype)
        return cls(nothing, nothing)

    @classmethod
    def rope(cls, length: int, dim: int, base: float, dtype: Any) -> Rotation:
        """RoPE with frequencies base^(-2 i / dim). Su et al. 2021."""
        frequencies = float(base) ** (-2.0 * np.arange(dim // 2) / dim)
        angles = np.arange(length)[:, None] * frequencies
        return cls(np.cos(angles).astype(dtype), np.sin(angles).astype(dtype))

    def __getitem__(self, length: int) -> tuple[Array, Array]:
        return self.cos[:length], self.sin[:length]
