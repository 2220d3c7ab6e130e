"""How far the values of two tensors are apart, summed up in 64 bits chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np

from zigllm_cli.gguf import Tensor
from zigllm_cli.inspection.values import Values, chunks, wide


class Distance:
    """Sums over pairs of values that are both finite.

    Attributes:
        differing: pairs that are not equal.
        not_finite: pairs left out, except NaN on both sides and equal infinities.
        max_abs: the largest difference.
    """

    def __init__(self) -> None:
        self.count = 0
        self.differing = 0
        self.not_finite = 0
        self.max_abs = 0.0
        self._errors = 0.0
        self._reference = 0.0

    def follow(self, a: Tensor, b: Tensor) -> Iterator[int]:
        """Work through two tensors of equal shape; yields the number of values in each step.

        Raises:
            UnsupportedError: values of one of them cannot be decoded.
        """
        for left, right in zip(chunks(a), chunks(b), strict=True):
            self.add(left, right)
            yield left.size

    def add(self, left: Values, right: Values) -> None:
        """Take two pieces of equal length into account."""
        a, b = wide(left), wide(right)
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.all():
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            self.not_finite += int((~finite & ~same).sum())
            a, b = a[finite], b[finite]
        if not a.size:
            return
        with np.errstate(over="ignore"):
            error = np.abs(a - b)
            self._errors += float(np.square(error).sum())
            self._reference += float(np.square(a).sum())
        self.count += a.size
        self.differing += int(np.count_nonzero(error))
        self.max_abs = max(self.max_abs, float(error.max()))

    @property
    def rms(self) -> float:
        """Root of the mean squared difference."""
        return sqrt(self._errors / self.count) if self.count else 0.0

    @property
    def relative_rms(self) -> float | None:
        """`rms` over the RMS of the first tensor; None where that is zero."""
        return sqrt(self._errors / self._reference) if self._reference else None
