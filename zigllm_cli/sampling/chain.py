"""The chain: samplers one after the other, then one random draw from what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from zigllm_cli.errors import GenerationError
from zigllm_cli.sampling.candidates import Candidates, Logits


@dataclass
class State:
    """What a sampler may look at besides the candidates.

    Attributes:
        tokens: the sequence so far, the prompt included.
        random: the random numbers of this place in the sequence.
        vocabulary: how many tokens the model knows.
    """

    tokens: Sequence[int]
    random: np.random.Generator
    vocabulary: int = 0


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


@runtime_checkable
class Learner(Protocol):
    """A sampler that goes by what was chosen before."""

    def accept(self, token: int, candidates: Candidates) -> None:
        """`token` was drawn from these candidates."""


@dataclass(frozen=True)
class Choice:
    """One token chosen, as a watcher of the chain sees it.

    Attributes:
        tokens: the sequence before it; to be read at once, since it grows.
        stages: the candidates behind each sampler, with its name; the first are the model's own.
        token: the one chosen.
    """

    tokens: Sequence[int]
    stages: Sequence[tuple[str, Candidates]]
    token: int


class Chain:
    """Samplers in order, and the random numbers of one sequence.

    Attributes:
        samplers: those that do something.
        seed: the same one makes the same choices.
        watchers: each is told of every choice.
    """

    def __init__(self, samplers: Sequence[Sampler], seed: int) -> None:
        self.samplers = tuple(sampler for sampler in samplers if not sampler.is_idle)
        self.seed = seed
        self.watchers: list[Callable[[Choice], None]] = []
        self._learners = [sampler for sampler in self.samplers if isinstance(sampler, Learner)]

    def sample(self, logits: Logits, tokens: Sequence[int]) -> int:
        """Choose the token that follows `tokens`, by their row of logits (float32 [vocabulary]).

        Raises:
            GenerationError: no token is possible.
        """
        state = self._state(logits, tokens)
        stages = list(self._stages(logits, state))
        candidates = stages[-1][1]
        reached = np.cumsum(candidates.weights(), dtype=np.float64)
        spin = state.random.random() * reached[-1]
        index = min(int(np.searchsorted(reached, spin, side="right")), len(candidates) - 1)
        token = int(candidates.ids[index])
        for learner in self._learners:
            learner.accept(token, candidates)
        for watcher in self.watchers:
            watcher(Choice(tokens, stages, token))
        return token

    @property
    def is_over(self) -> bool:
        """Whether a constraint says that the text is whole."""
        return any(getattr(sampler, "is_over", False) for sampler in self.samplers)

    def filter(self, logits: Logits, tokens: Sequence[int]) -> Candidates:
        """What the samplers leave to draw from."""
        *_, (_, candidates) = self.steps(logits, tokens)
        return candidates

    def steps(self, logits: Logits, tokens: Sequence[int]) -> Iterator[tuple[str, Candidates]]:
        """The candidates behind each sampler, with its name; the first are the model's own."""
        return self._stages(logits, self._state(logits, tokens))

    def _state(self, logits: Logits, tokens: Sequence[int]) -> State:
        """Random numbers depend on the seed and the place alone, not on how a text came about.

        So a text that is resumed goes on as if it had never stopped, and guessing ahead does not
        change it. Philox is made for that: a key and a counter, no history (Salmon et al. 2011).
        """
        bits = np.random.Philox(key=self.seed, counter=[0, len(tokens), 0, 0])
        return State(tokens, np.random.Generator(bits), len(logits))

    def _stages(self, logits: Logits, state: State) -> Iterator[tuple[str, Candidates]]:
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
