"""The chain: samplers one after the other, then one random draw from what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zigllm_cli.errors import GenerationError
from zigllm_cli.sampling.candidates import Candidates, Logits


@dataclass
class State:
    """What a sampler may look at besides the candidates.

    Attributes:
        tokens: the sequence so far, the prompt included.
        random: the chain's own source of random numbers.
    """

    tokens: Sequence[int]
    random: np.random.Generator


class Sampler(Protocol):
    """One step of the chain."""

    @property
    def name(self) -> str:
        """As llama.cpp's `--samplers` spells it."""

    @property
    def is_idle(self) -> bool:
        """Whether its settings make it change nothing."""

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """The candidates that it leaves, with the logits that it gives them."""


class Chain:
    """Samplers in order, and the random numbers of one sequence.

    Attributes:
        samplers: those that do something.
        seed: what the random numbers begin with; the same seed makes the same choices.
    """

    def __init__(self, samplers: Sequence[Sampler], seed: int) -> None:
        self.samplers = tuple(sampler for sampler in samplers if not sampler.is_idle)
        self.seed = seed
        self._random = np.random.Generator(np.random.PCG64(seed))

    def sample(self, logits: Logits, tokens: Sequence[int]) -> int:
        """Choose the token that follows `tokens`, by their row of logits (float32 [vocabulary]).

        Raises:
            GenerationError: no token is possible.
        """
        candidates = self.filter(logits, tokens)
        # One number for every token, also where nothing is left to choose: so the numbers of
        # the tokens behind do not depend on it.
        spin = self._random.random()
        reached = np.cumsum(candidates.weights(), dtype=np.float64)
        index = int(np.searchsorted(reached, spin * reached[-1], side="right"))
        return int(candidates.ids[min(index, len(candidates) - 1)])

    def filter(self, logits: Logits, tokens: Sequence[int]) -> Candidates:
        """What the samplers leave to draw from."""
        *_, (_, candidates) = self.steps(logits, tokens)
        return candidates

    def steps(self, logits: Logits, tokens: Sequence[int]) -> Iterator[tuple[str, Candidates]]:
        """The candidates behind each sampler, with its name; the first are the model's own."""
        state = State(tokens, self._random)
        candidates = Candidates.of(logits)
        _check(candidates)
        yield "model", candidates
        for sampler in self.samplers:
            candidates = sampler.apply(candidates, state)
            _check(candidates)
            yield sampler.name, candidates


def _check(candidates: Candidates) -> None:
    highest = candidates.logits.max(initial=-np.inf)
    if np.isnan(highest) or highest == np.inf:
        raise GenerationError("the model's logits are not numbers; its weights may be damaged")
    if highest == -np.inf:
        raise GenerationError("no token can come next: every candidate is excluded")
