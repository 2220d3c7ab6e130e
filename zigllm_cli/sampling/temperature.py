"""Temperature: how much the probabilities differ, down to the most likely token alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require

LEAST = float(np.finfo(np.float32).tiny)
"""Below it nothing is left of differences of logits but their sign."""


@dataclass(frozen=True)
class Temperature:
    """Divide the logits by t; 0 or less leaves the most likely candidate alone (greedy).

    Attributes:
        spread: dynamic temperature (kalomaze 2024): from t - spread where the model is sure to
            t + spread where all candidates are alike; 0 is off.
        exponent: of the curve between them.
    """

    t: float
    spread: float = 0.0
    exponent: float = 1.0
    name: ClassVar[str] = "temperature"

    def __post_init__(self) -> None:
        require("temperature", self.t, -inf, note="0 or less is greedy")
        require("dynatemp-range", self.spread, 0, note="0 is off")
        require("dynatemp-exp", self.exponent, 0)

    @property
    def is_idle(self) -> bool:
        return self.t == 1 and not self.spread

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """Of equal logits the first one is the most likely."""
        t = self._dynamic(candidates) if self.spread else self.t
        if t < LEAST:
            best = 0 if candidates.is_sorted else int(candidates.logits.argmax())
            return candidates.take(slice(best, best + 1))
        with np.errstate(over="ignore"):  # next to no temperature: differences become endless
            highest = candidates.logits.max()
            scaled = (candidates.logits - highest) / np.float32(t)
        return candidates.with_logits(scaled, is_sorted=candidates.is_sorted)

    def _dynamic(self, candidates: Candidates) -> float:
        """low + (high - low) (H / ln n)^exponent, with the entropy H of n candidates."""
        low, high = max(0.0, self.t - self.spread), max(0.0, self.t + self.spread)
        count = int(np.count_nonzero(candidates.logits > -np.inf))
        if count < 2:
            return 1.0
        openness = min(candidates.entropy() / log(count), 1.0)
        return low + (high - low) * float(openness**self.exponent)
