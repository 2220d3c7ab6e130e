"""Samplers that leave out what is unlikely: top-k, top-p and min-p."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require

FIRST_LOOK = 64
"""Candidates that top-p sorts at first; what it keeps of natural text is seldom more."""


@dataclass(frozen=True)
class TopK:
    """Keep the k most likely candidates (Fan et al. 2018); 0 keeps all."""

    k: int
    name: ClassVar[str] = "top_k"

    def __post_init__(self) -> None:
        require("top-k", self.k, 0, note="0 is off")

    @property
    def is_idle(self) -> bool:
        return self.k == 0

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """The k best, sorted."""
        return candidates.top(self.k)


@dataclass(frozen=True)
class TopP:
    """Keep the fewest candidates whose probabilities reach p together (Holtzman et al. 2019)."""

    p: float
    name: ClassVar[str] = "top_p"

    def __post_init__(self) -> None:
        require("top-p", self.p, 0, 1, note="1 is off")

    @property
    def is_idle(self) -> bool:
        return self.p >= 1

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """The nucleus, sorted; at least one candidate.

        Sorting a whole vocabulary takes milliseconds, so ever more of it is looked at.
        """
        wanted = self.p * float(candidates.weights().sum(dtype=np.float64))
        size = FIRST_LOOK
        while True:
            best = candidates.top(size)
            reached = np.cumsum(best.weights(), dtype=np.float64)
            count = int(np.searchsorted(reached, wanted)) + 1
            if count <= len(best) or size >= len(candidates):
                return best.take(slice(count))
            size *= 64


@dataclass(frozen=True)
class MinP:
    """Keep what is at least p times as likely as the most likely (Nguyen et al. 2024)."""

    p: float
    name: ClassVar[str] = "min_p"

    def __post_init__(self) -> None:
        require("min-p", self.p, 0, 1, note="0 is off")

    @property
    def is_idle(self) -> bool:
        return self.p == 0

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """Those above the bound, in the order they had."""
        bound = candidates.logits.max() + np.float32(log(self.p))
        return candidates.take(np.flatnonzero(candidates.logits >= bound))
