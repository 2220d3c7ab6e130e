"""What quantising loses: the difference between values and what their new bytes decode to."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass
class Loss:
    """Sums over values, all in double precision.

    Attributes:
        count: values.
        squares, errors: sums of their squares and of the squares of the differences.
        weighted_squares, weighted_errors: the same times the importance of the column.
        max_abs: the largest difference.
    """

    count: int = 0
    squares: float = 0.0
    errors: float = 0.0
    weighted_squares: float = 0.0
    weighted_errors: float = 0.0
    max_abs: float = 0.0

    @classmethod
    def between(cls, values: Floats, decoded: Floats, importance: Floats | None = None) -> Loss:
        """Of float32 [rows, columns] before and after; importance f32 [columns], or all ones."""
        if not values.size:
            return cls()
        error = values - decoded
        squares, errors = (np.einsum("ij,ij->j", x, x, dtype=np.float64) for x in (values, error))
        weights = np.float64(1) if importance is None else importance.astype(np.float64)
        return cls(
            values.size,
            float(squares.sum()),
            float(errors.sum()),
            float((squares * weights).sum()),
            float((errors * weights).sum()),
            float(np.abs(error).max()),
        )

    def __add__(self, other: Loss) -> Loss:
        return Loss(
            self.count + other.count,
            self.squares + other.squares,
            self.errors + other.errors,
            self.weighted_squares + other.weighted_squares,
            self.weighted_errors + other.weighted_errors,
            max(self.max_abs, other.max_abs),
        )

    @property
    def rmse(self) -> float:
        """Root of the mean squared difference."""
        return sqrt(self.errors / self.count) if self.count else 0.0

    @property
    def noise(self) -> float:
        """Noise to signal, as powers: of the product with typical activations, if importance is
        known, else of the values."""
        return self.weighted_errors / self.weighted_squares if self.weighted_squares else 0.0

    @property
    def snr(self) -> float:
        """Signal to noise in decibels; infinite where nothing is lost."""
        if not self.errors:
            return inf
        return 10 * log10(self.squares / self.errors) if self.squares else -inf
