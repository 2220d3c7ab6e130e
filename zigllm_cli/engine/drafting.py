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

from zigllm_cli.engine.session import Session
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.tokenizers import Tokenizer

MOST = 10
"""Tokens to guess ahead. Up to 15 tokens go through the kernels that decoding uses, so that
logits are the same bit for bit as one by one."""

FREE_IDS = 5
"""Tokens with lower ids (control tokens, mostly) may differ between a model and its draft."""


class Drafter(Protocol):
    """Guesses tokens."""

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """Up to `most` tokens that may follow `tokens`; none where there is no good guess."""


class NgramDrafter:
    """Prompt lookup (Saxena 2023): the text may go on as it did behind the same words before.

    Args:
        longest: tokens that must be the same; fewer, down to 2, are tried next.
        most: tokens to guess ahead.
    """

    def __init__(self, longest: int = 4, most: int = MOST) -> None:
        self._sizes = range(longest, 1, -1)
        self._most = most
        self._seen: dict[tuple[int, ...], int] = {}
        self._known: list[int] = []

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """What followed the last earlier occurrence of the end of the text."""
        self._learn(tokens)
        for size in self._sizes:
            place = self._seen.get(tuple(tokens[-size:]))
            if place is not None and len(tokens) >= size:
                return list(tokens[place : place + min(most, self._most)])
        return []

    def _learn(self, tokens: Sequence[int]) -> None:
        """Remember where each n-gram but the last ended."""
        same = sum(1 for _ in takewhile(bool, map(eq, self._known, tokens)))
        if same < len(self._known):
            self._seen.clear()
            self._known, same = [], 0
        for end in range(max(same, 1), len(tokens)):
            for size in self._sizes:
                if size <= end:
                    self._seen[tuple(tokens[end - size : end])] = end
        self._known = list(tokens)


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
        self._most = most

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """The likeliest token, and the likeliest behind that, while it is sure enough."""
        session = self.session
        count = min(most, self._most, session.runner.context - len(tokens))
        if count < 1:
            return []
        known = session.reuse(tokens)
        logits = session.eval(tokens[known:])
        guesses: list[int] = []
        while True:
            token = int(logits.argmax())
            share = 1 / float(np.exp(logits - logits[token]).sum(dtype=np.float64))
            if share < self._least:
                return guesses
            guesses.append(token)
            if len(guesses) == count:
                return guesses
            logits = session.eval([token])


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
