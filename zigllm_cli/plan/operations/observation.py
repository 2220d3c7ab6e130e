"""Looking at values on their way, without changing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.plan.operations.base import Operation


@dataclass(frozen=True, eq=False)
class SumSquares(Operation):
    """sums += the squares of every column of `out`, over all tokens of the step.

    Attributes:
        sums: float64 [width], kept by whoever observes.
    """

    sums: NDArray[np.float64]
