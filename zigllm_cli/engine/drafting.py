"""Guesses of what comes next, to be checked together in one step (speculative decoding).

Evaluating a few tokens together costs little more than one, since the weights are read once. So a
guess that comes true is a token almost for free, and one that does not costs little. What is
chosen stays what it would be without: the model's own chain chooses, token by token.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from operator import eq
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.session import Session
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.tokenizers import Tokenizer

MOST = 7
"""Tokens to guess ahead at most. A step of up to 8 tokens goes through the kernels that decoding
uses, so that logits are the same bit for bit as one by one; it takes 2.5 times as long as a step of
one token (1.1 B, Q4_K_M, AVX2, two threads: `scripts/bench_sampling.py --steps`)."""

TAIL = 16
"""Tokens by which a text is known again."""

FREE_IDS = 5
"""Tokens with lower ids (control tokens, mostly) may differ between a model and its draft."""


class Drafter(Protocol):
    """Guesses tokens."""

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """Up to `most` tokens that may follow `tokens`; none where there is no good guess."""


class Pace:
    """How many tokens to guess, by how the last guesses fared: twice as many behind guesses that
    all came true, else one more than came true."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._length = min(3, most)
        self._guess: list[int] = []
        self._start = 0

    def length(self, tokens: Sequence[int]) -> int:
        """Tokens to guess behind these."""
        if self._guess:
            came = tokens[self._start : self._start + len(self._guess)]
            right = sum(1 for _ in takewhile(bool, map(eq, self._guess, came)))
            whole = right == len(self._guess)
            self._length = min(2 * self._length if whole else right + 1, self._most)
        return self._length

    def note(self, tokens: Sequence[int], guess: list[int]) -> list[int]:
        """Remember what was guessed behind these; returns it."""
        self._guess, self._start = guess, len(tokens)
        return guess


class NgramDrafter:
    """Prompt lookup (Saxena 2023): the text may go on as it did behind the same words before.

    Args:
        longest: tokens that must be the same; fewer, down to 2, are tried next.
        most: tokens to guess ahead.
    """

    def __init__(self, longest: int = 4, most: int = MOST) -> None:
        self._sizes = range(longest, 1, -1)
        self._pace = Pace(most)
        self._seen: dict[tuple[int, ...], int] = {}
        self._known = 0
        self._tail: list[int] = []

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """What followed the last earlier occurrence of the end of the text."""
        self._learn(tokens)
        count = min(most, self._pace.length(tokens))
        for size in self._sizes:
            place = self._seen.get(tuple(tokens[-size:])) if size <= len(tokens) else None
            if place is not None:
                return self._pace.note(tokens, list(tokens[place : place + count]))
        return self._pace.note(tokens, [])

    def _learn(self, tokens: Sequence[int]) -> None:
        """Remember where each n-gram but the last ended; from the beginning if the text is new."""
        if list(tokens[max(self._known - len(self._tail), 0) : self._known]) != self._tail:
            self._seen.clear()
            self._known = 0
        for end in range(max(self._known, 1), len(tokens)):
            for size in self._sizes:
                if size <= end:
                    self._seen[tuple(tokens[end - size : end])] = end
        self._known, self._tail = len(tokens), list(tokens[-TAIL:])


class ModelDrafter:
    """A smaller model of the same vocabulary guesses what it finds most likely.

    Args:
        session: of the smaller model.
        least: it stops before a token that it finds less probable than this.
        most: tokens to guess ahead.
    """

    def __init__(self, session: Session, least: float = 0.3, most: int = MOST) -> None:
        self.session = session
        self._least = least
        self._pace = Pace(most)

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """The likeliest token, and the likeliest behind that, while it is sure enough."""
        session = self.session
        room = session.runner.context - len(tokens)
        count = min(most, self._pace.length(tokens), room)
        guesses: list[int] = []
        if count > 0:
            known = session.reuse(tokens)
            logits = session.eval(tokens[known:])
            while (token := self._sure(logits)) is not None:
                guesses.append(token)
                if len(guesses) == count:
                    break
                logits = session.eval([token])
        return self._pace.note(tokens, guesses)

    def _sure(self, logits: NDArray[np.float32]) -> int | None:
        """The likeliest token, if it is likely enough."""
        token = int(logits.argmax())
        share = 1 / float(np.exp(logits - logits[token]).sum(dtype=np.float64))
        return token if share >= self._least else None


def check_draft(tokenizer: Tokenizer, draft: Tokenizer, name: str) -> None:
    """Refuse a draft model whose tokens mean something else.

    Raises:
        UsageError: with the first difference.
    """
    ours, theirs = tokenizer.vocabulary, draft.vocabulary
    count = min(len(ours), len(theirs))
    problem = None
    if type(tokenizer) is not type(draft):
        problem = "another kind of tokenizer"
    elif abs(len(ours) - len(theirs)) > 128:
        problem = f"{len(theirs)} tokens instead of {len(ours)}"
    elif ours.end_ids != theirs.end_ids:
        problem = "other end tokens"
    else:
        for token in range(FREE_IDS, count):
            if ours.tokens[token] != theirs.tokens[token]:
                problem = f"another token {token}"
                break
    if problem:
        raise UsageError(f"{name} cannot draft for this model: it has {problem}")
