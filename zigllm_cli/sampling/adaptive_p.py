"""Adaptive-p: draw tokens of about a target probability, and correct for what came before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.sampling.candidates import Candidates, Logits
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require

PEAK, SHARPNESS, WIDTH = 5.0, 10.0, 0.3
"""Logit at the target, how steeply it falls, and the distance in probability that counts as 1."""


@dataclass
class AdaptiveP:
    """Prefer candidates whose probability is near a target (llama.cpp's `adaptive_p`).

    The aim is twice the target less the mean of what was drawn, which fades by `decay` per token;
    at the beginning that mean is the target. The new logit falls from 5 at the aim by 10 d^2 /
    (1 + d), with d the distance in units of 0.3.

    Attributes:
        target: a probability; below 0 is off.
        decay: from 0 to 0.99; about 1 / (1 - decay) tokens count.
    """

    target: float
    decay: float = 0.9
    name: ClassVar[str] = "adaptive_p"
    _sum: float = field(init=False, repr=False)
    _weight: float = field(init=False, repr=False)
    _ids: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    _before: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require("adaptive-target", self.target, -1, 1, note="below 0 is off")
        require("adaptive-decay", self.decay, 0, 0.99)
        self._weight = 1 / (1 - self.decay)
        self._sum = self.target * self._weight

    @property
    def is_idle(self) -> bool:
        return self.target < 0

    @property
    def aim(self) -> float:
        """The probability that the next token should have."""
        return min(max(2 * self.target - self._sum / self._weight, 0.0), 1.0)

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """All that are possible, with logits by their distance from the aim."""
        possible = candidates.take(np.flatnonzero(candidates.logits > -np.inf))
        self._ids, self._before = possible.ids, possible.probabilities()
        distance = np.abs(self._before - self.aim) / WIDTH
        logits: Logits = (PEAK - SHARPNESS * distance**2 / (1 + distance)).astype(np.float32)
        return possible.with_logits(logits)

    def accept(self, token: int, candidates: Candidates) -> None:
        """The probability that the token had before is what counts."""
        before = float(self._before[self._ids == token][0])
        self._sum = before + self.decay * self._sum
        self._weight = 1 + self.decay * self._weight
