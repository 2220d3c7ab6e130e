"""Mirostat: keep the surprise of the text at a target, by learning from what was drawn.

Basu et al. 2021. Both versions cut the candidates by mu, a bound in bits that moves against the
difference between the surprise of each token drawn and the target tau, at the rate eta. They
learn, so each sequence needs its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, inf, log
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require

HEAD = 100
"""Candidates by which version 1 estimates the exponent of Zipf's law."""


@dataclass
class Mirostat2:
    """Keep candidates of at most mu bits of surprise, at least one.

    Attributes:
        tau: surprise to keep to, in bits.
        eta: how fast mu follows.
        mu: the bound; begins at 2 tau.
    """

    tau: float = 5.0
    eta: float = 0.1
    mu: float = field(init=False)
    name: ClassVar[str] = "mirostat_v2"

    def __post_init__(self) -> None:
        require("mirostat-ent", self.tau, 0)
        require("mirostat-lr", self.eta, 0)
        self.mu = 2 * self.tau

    @property
    def is_idle(self) -> bool:
        return False

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """The likeliest ones, sorted."""
        ordered = candidates.sorted()
        surprise = -ordered.log_probabilities() / log(2)
        return ordered.take(slice(max(int(np.searchsorted(surprise, self.mu, side="right")), 1)))

    def accept(self, token: int, candidates: Candidates) -> None:
        """Move mu by the surprise of the token among those that it was drawn from."""
        _, places = candidates.positions([token])
        surprise = -float(candidates.log_probabilities()[places[0]]) / log(2)
        self.mu -= self.eta * (surprise - self.tau)


@dataclass
class Mirostat1(Mirostat2):
    """Keep the k likeliest, with k by Zipf's law so that their surprise is about mu."""

    name: ClassVar[str] = "mirostat"

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """The k likeliest, sorted."""
        ordered = candidates.sorted()
        exponent = _zipf_exponent(ordered.log_probabilities()[:HEAD])
        return ordered.take(slice(self._count(exponent, len(ordered), state.vocabulary)))

    def _count(self, exponent: float, most: int, vocabulary: int) -> int:
        """k = ((e 2^mu) / (1 - N^-e))^(1/s) with e = s - 1, for N tokens; from 1 to `most`.

        In logarithms, so that nothing overflows; for e = 0 the limit is (2^mu / ln N)^(1/s).
        """
        if most < 2 or vocabulary < 2:
            return 1
        epsilon = exponent - 1
        if abs(epsilon) < 1e-9:
            factor = 1 / log(vocabulary)
        else:
            factor = epsilon / -np.expm1(np.clip(-epsilon * log(vocabulary), -700, 700))
        height = log(factor) + self.mu * log(2)
        if exponent <= 0:
            return most if height >= 0 else 1
        return max(int(exp(min(height / exponent, log(most)))), 1)


def _zipf_exponent(logs: NDArray[np.float64]) -> float:
    """Least squares of log(p[i] / p[i+1]) over log((i+2) / (i+1))."""
    if len(logs) < 2:
        return inf
    ranks = np.arange(1, len(logs))
    steps = np.log((ranks + 1) / ranks)
    return float((steps * -np.diff(logs)).sum() / (steps * steps).sum())
