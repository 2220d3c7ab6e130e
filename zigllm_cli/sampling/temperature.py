"""Temperature: how much the probabilities differ, down to the most likely token alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require

LEAST = float(np.finfo(np.float32).tiny)
"""Below it nothing is left of differences of logits but their sign."""


@dataclass(frozen=True)
class Temperature:
    """Divide the logits by t; 0 or less leaves the most likely candidate alone (greedy)."""

    t: float
    name: ClassVar[str] = "temperature"

    def __post_init__(self) -> None:
        require("temperature", self.t, -inf, note="0 or less is greedy")

    @property
    def is_idle(self) -> bool:
        return self.t == 1

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """Of equal logits the first one is the most likely."""
        if self.t < LEAST:
            best = 0 if candidates.is_sorted else int(candidates.logits.argmax())
            return candidates.take(slice(best, best + 1))
        with np.errstate(over="ignore"):  # next to no temperature: differences become endless
            highest = candidates.logits.max()
            scaled = (candidates.logits - highest) / np.float32(self.t)
        return candidates.with_logits(scaled, is_sorted=candidates.is_sorted)
