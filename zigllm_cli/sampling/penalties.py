"""Penalties on tokens that stand among the last ones already."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require


@dataclass(frozen=True)
class Penalties:
    """Repetition (Keskar et al. 2019), frequency and presence penalties.

    Attributes:
        repeat: a logit above zero is divided by it, one below multiplied; 1 is off.
        frequency: taken off for each time that the token occurred.
        presence: taken off once.
        last_n: how many tokens are looked at, the prompt's included; 0 is off.
    """

    repeat: float = 1.0
    frequency: float = 0.0
    presence: float = 0.0
    last_n: int = 64
    name: ClassVar[str] = "penalties"

    def __post_init__(self) -> None:
        require("repeat penalty", self.repeat, 1e-6, note="1 is off")
        require("frequency penalty", self.frequency, -inf, note="0 is off")
        require("presence penalty", self.presence, -inf, note="0 is off")
        require("repeat-last-n", self.last_n, 0, note="0 is off")

    @property
    def is_idle(self) -> bool:
        return self.last_n == 0 or (self.repeat == 1 and not self.frequency and not self.presence)

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """All candidates, those of the window with other logits."""
        tokens, counts = np.unique(state.tokens[-self.last_n :], return_counts=True)
        found, places = candidates.positions(tokens)
        logits = candidates.logits.copy()
        picked = logits[places]
        scaled = np.where(picked <= 0, picked * self.repeat, picked / self.repeat)
        logits[places] = scaled - counts[found] * self.frequency - self.presence
        return candidates.with_logits(logits)
