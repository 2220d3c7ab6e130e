"""DRY, "don't repeat yourself": what would go on with a repetition becomes less likely.

The longer the end of the text already stood somewhere before, the more the token that followed
there is penalised, exponentially. Sequence breakers (a line feed, a quote ...) begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates, Ids, Logits
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require

Breakers = Mapping[int, Sequence[tuple[int, ...]]]
"""Sequence breakers as ids: a first token, and what may follow it to make a breaker whole."""

MAX_LOG = log(float(np.finfo(np.float32).max))
"""Natural logarithm of the largest float32: no penalty is larger."""


@dataclass(frozen=True)
class Dry:
    """Penalise the token that would make a repetition longer (p-e-w 2024).

    A token that would extend a repetition of length n, at least `allowed_length`, loses
    multiplier * base^(n - allowed_length).

    Attributes:
        multiplier: 0 is off.
        last_n: how many tokens are looked at, the prompt's included; 0 is off.
        breakers: no repetition reaches beyond one.
    """

    multiplier: float
    base: float = 1.75
    allowed_length: int = 2
    last_n: int = 64
    breakers: Breakers = field(default_factory=dict)
    name: ClassVar[str] = "dry"

    def __post_init__(self) -> None:
        require("dry-multiplier", self.multiplier, 0, note="0 is off")
        require("dry-base", self.base, 0, note="below 1 is off")
        require("dry-allowed-length", self.allowed_length, 0)
        require("dry-penalty-last-n", self.last_n, 0, note="0 is off")

    @property
    def is_idle(self) -> bool:
        return self.multiplier == 0 or self.base < 1 or self.last_n == 0

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """All candidates, those that would go on with a repetition with other logits."""
        repeated = self.repetitions(state.tokens[-self.last_n :])
        tokens = [token for token in repeated if () not in self.breakers.get(token, ())]
        if not tokens:
            return candidates
        found, places = candidates.positions(tokens)
        lengths = np.array([repeated[token] for token in tokens])[found]
        logits = candidates.logits.copy()
        logits[places] -= self._penalty(lengths)
        return candidates.with_logits(logits)

    def _penalty(self, lengths: Ids) -> Logits:
        exponents = lengths - self.allowed_length
        if self.base > 1.000001:
            exponents = np.minimum(exponents, int(MAX_LOG / log(self.base)))
        with np.errstate(over="ignore"):
            penalties = self.multiplier * np.power(self.base, exponents.astype(np.float64))
        limited: Logits = np.minimum(penalties, np.finfo(np.float32).max).astype(np.float32)
        return limited

    def repetitions(self, window: Sequence[int]) -> dict[int, int]:
        """For each token that would go on with a repetition, the length of the longest one."""
        if len(window) <= self.allowed_length:
            return {}
        backwards = list(reversed(window))
        limit = self._reach(backwards)
        if limit < self.allowed_length:
            return {}
        longest: dict[int, int] = {}
        for place, length in enumerate(common_prefixes(backwards)[1:]):
            length = min(length, limit)
            if length >= self.allowed_length:
                token = backwards[place]  # what stands behind the earlier occurrence
                longest[token] = max(longest.get(token, 0), length)
        return longest

    def _reach(self, backwards: Sequence[int]) -> int:
        """How many tokens stand behind the last breaker."""
        for distance, token in enumerate(backwards):
            fitting = [
                len(tail)
                for tail in self.breakers.get(token, ())
                if tuple(reversed(backwards[max(distance - len(tail), 0) : distance])) == tail
            ]
            if fitting:
                return distance - max(fitting)
        return len(backwards)


def common_prefixes(tokens: Sequence[int]) -> list[int]:
    """Length of the longest common prefix of `tokens` and each of its suffixes (Z-function)."""
    count = len(tokens)
    lengths = [0] * count
    left = right = 0  # the last match found covers tokens[left:right]
    for start in range(1, count):
        length = min(right - start, lengths[start - left]) if start < right else 0
        while start + length < count and tokens[length] == tokens[start + length]:
            length += 1
        lengths[start] = length
        if start + length > right:
            left, right = start, start + length
    return lengths
