"""Looking at values on their way, without changing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.plan.operations.base import Operation
from zigllm_cli.plan.operations.experts import Route


@dataclass(frozen=True, eq=False)
class SumSquares(Operation):
    """sums += the squares of every column of `out`, over all tokens of the step.

    Attributes:
        sums: float64, of as many values, kept by whoever observes.
    """

    sums: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExpertSumSquares(Operation):
    """The same of each expert on its own, over the rows of `out` that go to it.

    Attributes:
        route: `out` has a row per token that goes to all of its experts, or one for each of them.
        sums: float64 [experts, columns].
        counts: int64 [experts], of rows.
    """

    route: Route
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def shares_x(self) -> bool:
        """Whether a token's experts all take the same row."""
        return bool(self.out.width == self.sums.shape[1])
