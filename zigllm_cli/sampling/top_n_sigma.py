"""Top-n-sigma: cut by the spread of the logits, so that temperature changes nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require


@dataclass(frozen=True)
class TopNSigma:
    """Keep logits within n standard deviations of the largest (Tang et al. 2024)."""

    n: float
    name: ClassVar[str] = "top_n_sigma"

    def __post_init__(self) -> None:
        require("top-n-sigma", self.n, -inf, note="0 or less is off")

    @property
    def is_idle(self) -> bool:
        return self.n <= 0

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """Those above the bound, in the order they had; the deviation is that of all possible."""
        possible = candidates.logits[candidates.logits > -np.inf]
        bound = possible.max() - self.n * possible.std(dtype=np.float64)
        return candidates.take(np.flatnonzero(candidates.logits >= bound))
