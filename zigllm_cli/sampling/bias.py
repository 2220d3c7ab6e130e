"""Logit bias: tokens made more or less likely by their ids, or impossible."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State


@dataclass(frozen=True)
class LogitBias:
    """Add to the logits of some tokens; minus infinity excludes one. Stands before the chain."""

    values: Mapping[int, float] = field(default_factory=dict)
    name: ClassVar[str] = "logit_bias"

    @property
    def is_idle(self) -> bool:
        return not self.values

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """All candidates, some with other logits."""
        biases = np.fromiter(self.values.values(), np.float32, len(self.values))
        found, places = candidates.positions(list(self.values))
        logits = candidates.logits.copy()
        logits[places] += biases[found]
        return candidates.with_logits(logits)


@dataclass(frozen=True)
class MinTokens:
    """Exclude end tokens until the sequence, its prompt included, has so many tokens."""

    ends: Collection[int]
    length: int
    name: ClassVar[str] = "min_tokens"

    @property
    def is_idle(self) -> bool:
        return not self.ends or self.length <= 0

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """All candidates, or all but the ends."""
        if len(state.tokens) >= self.length:
            return candidates
        return LogitBias(dict.fromkeys(self.ends, -np.inf)).apply(candidates, state)
