"""XTC, exclude top choices: now and then the obvious is left out, for the sake of variety."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require


@dataclass(frozen=True)
class Xtc:
    """Remove all candidates of at least `threshold` but the least likely of them (p-e-w 2024).

    Attributes:
        probability: of doing so for a token; 0 is off.
        threshold: a probability; above 0.5 there can never be two of them.
    """

    probability: float
    threshold: float = 0.1
    name: ClassVar[str] = "xtc"

    def __post_init__(self) -> None:
        require("xtc-probability", self.probability, 0, 1, note="0 is off")
        require("xtc-threshold", self.threshold, 0, 1, note="above 0.5 is off")

    @property
    def is_idle(self) -> bool:
        return self.probability == 0 or self.threshold > 0.5

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """All candidates, or the rest behind the top choices, sorted."""
        if state.random.random() > self.probability:
            return candidates
        chances = candidates.probabilities()
        count = int(np.count_nonzero((chances >= self.threshold) & (chances > 0)))
        if count < 2:
            return candidates
        return candidates.sorted().take(slice(count - 1, None))
