"""Puzzles of minGPT, made by a rule: numbers to be sorted, and sums.

    sort    0 2 1 1 0 | 0 0 1 1 2         the model sees what is left of |, and goes on
    adder   8 5 5 0 | 5 3 1               85 + 50 = 135, its digits from the last to the first

Only what stands right of | counts in the loss. A hash of the question decides whether it is held
out, so no question is ever both learned and asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from zigllm_cli.train.kernels.cross_entropy import IGNORED
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.tasks import Batch, generator
from zigllm_cli.train.values import Array
from zigllm_cli.train.vocabulary import train_characters

CASES = 5000
"""Most held-out questions that are asked."""

DIGITS = "0123456789"


class Completing(Protocol):
    """A model."""

    def logits(self, tokens: Array) -> Array:
        """Of sequences [B, T]: [B, T, vocabulary]."""


class Puzzle(ABC):
    """A task whose sequences are questions with their answers.

    Attributes:
        question: tokens of a question.
        base: of the digits that a question is made of.
        share: one in so many questions is held out.
    """

    question: int
    base: int
    share: int

    def __init__(self, s: Settings, answer: int) -> None:
        self.settings = s
        self.context = self.question + answer - 1
        self.vocabulary = train_characters(DIGITS[: self.base], add_bos=False)
        self.digest = f"{type(self).__name__} {self.question} {self.base}"

    @abstractmethod
    def answers(self, questions: Array) -> Array:
        """The right ones [N, answer]."""

    def wanted(self, questions: Array, random: np.random.Generator) -> Array:
        """Which questions to learn from, besides not being held out."""
        return np.ones(len(questions), bool)

    def is_held_out(self, questions: Array) -> Array:
        """By a multiplicative hash of the question as a number."""
        powers = np.uint64(self.base) ** np.arange(self.question, dtype=np.uint64)
        hashed = (questions.astype(np.uint64) @ powers) * np.uint64(0x9E3779B97F4A7C15)
        held: Array = (hashed >> np.uint64(40)) % np.uint64(self.share) == 0
        return held

    def batch(self, step: int, part: int) -> Batch:
        """Random questions with their answers."""
        random, size = generator(self.settings, step, part), self.settings.batch
        found = np.empty((0, self.question), np.int64)
        while len(found) < size:
            drawn = random.integers(0, self.base, (2 * size, self.question))
            keep = ~self.is_held_out(drawn) & self.wanted(drawn, random)
            found = np.concatenate([found, drawn[keep]])
        return self._sequences(found[:size])

    def _sequences(self, questions: Array) -> Batch:
        whole = np.concatenate([questions, self.answers(questions)], axis=1).astype(np.int32)
        tokens, targets = whole[:, :-1].copy(), whole[:, 1:].copy()
        targets[:, : self.question - 1] = IGNORED
        return tokens, targets

    def cases(self) -> Array:
        """The held-out questions, or so many of them as are asked."""
        if self.base**self.question <= 1 << 20:
            every = np.indices((self.base,) * self.question).reshape(self.question, -1).T
            held = every[self.is_held_out(every)]
            return held if len(held) <= CASES else held[:: -(-len(held) // CASES)]
        random, found = generator(self.settings, 0xCA5E), np.empty((0, self.question), np.int64)
        while len(found) < CASES:
            drawn = random.integers(0, self.base, (CASES, self.question))
            found = np.concatenate([found, drawn[self.is_held_out(drawn)]])
        return found[:CASES]

    def held_out(self, batches: int | None) -> Iterator[Batch]:
        """Held-out questions."""
        size = max(self.settings.batch, 256)
        questions = self.cases()[: None if batches is None else batches * size]
        for start in range(0, len(questions), size):
            yield self._sequences(questions[start : start + size])

    def solved(self, model: Completing) -> tuple[int, int]:
        """(right answers, held-out questions): each digit the likeliest, all must be right."""
        questions = self.cases()
        tokens, right = questions.astype(np.int32), self.answers(questions)
        for _ in range(right.shape[1]):
            following = model.logits(tokens)[:, -1].argmax(axis=1)
            tokens = np.concatenate([tokens, following[:, None].astype(np.int32)], axis=1)
        return int((tokens[:, self.question :] == right).all(axis=1).sum()), len(questions)


class Sort(Puzzle):
    """Numbers from 0 to `symbols` - 1, `digits` of them."""

    share = 4

    def __init__(self, s: Settings) -> None:
        self.question, self.base = s.digits, s.symbols
        super().__init__(s, answer=s.digits)

    def answers(self, questions: Array) -> Array:
        """In ascending order."""
        return np.sort(questions, axis=1)

    def wanted(self, questions: Array, random: np.random.Generator) -> Array:
        """Half of those with few repetitions are left out: the others are harder."""
        ordered = np.sort(questions, axis=1)
        distinct = 1 + (np.diff(ordered, axis=1) > 0).sum(axis=1)
        few: Array = distinct <= self.question // 2
        return few | (random.random(len(questions)) < 0.5)


class Adder(Puzzle):
    """a + b, each of `digits` digits."""

    share, base = 5, 10

    def __init__(self, s: Settings) -> None:
        self.question = 2 * s.digits
        super().__init__(s, answer=s.digits + 1)

    def answers(self, questions: Array) -> Array:
        """The sum, its last digit first."""
        digits = self.settings.digits
        powers = 10 ** np.arange(digits - 1, -1, -1)
        total = questions[:, :digits] @ powers + questions[:, digits:] @ powers
        answers: Array = total[:, None] // 10 ** np.arange(digits + 1) % 10
        return answers
