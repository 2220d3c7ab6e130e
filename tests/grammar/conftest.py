"""A vocabulary, and whether a grammar accepts a text as a whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.errors import GenerationError
from zigllm_cli.grammar import Constraint, tokens_of
from zigllm_cli.grammar.forms import Grammar
from zigllm_cli.sampling import Candidates, State
from zigllm_cli.tokenizers import Tokenizer

Accepts = Callable[[Grammar, str], bool]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return zigllm_cli.load(RANDOM).tokenizer


def allowed(constraint: Constraint, size: int) -> set[int]:
    """Tokens that may come next; none at a dead end."""
    zeros = Candidates.of(np.zeros(size, np.float32))
    try:
        left = constraint.apply(zeros, State([], np.random.default_rng(0), size))
    except GenerationError:
        return set()
    return set(np.flatnonzero(left.logits == 0).tolist())


@pytest.fixture(scope="session")
def accepts(tokenizer: Tokenizer) -> Accepts:
    """Walk through a text with the tokens that the constraint allows."""

    def check(grammar: Grammar, text: str) -> bool:
        constraint = Constraint(tokens_of(tokenizer), grammar)
        rest = text.encode()
        pieces = {token: tokenizer.piece(token) for token in range(len(tokenizer))}
        while rest:
            fitting = [
                token
                for token in allowed(constraint, len(tokenizer))
                if pieces[token]
                and rest.startswith(pieces[token])
                and token not in tokenizer.vocabulary.end_ids
            ]
            if not fitting:
                return False
            token = max(fitting, key=lambda token: len(pieces[token]))
            constraint.accept(token, Candidates.of(np.zeros(1, np.float32)))
            rest = rest[len(pieces[token]) :]
        ends = tokenizer.vocabulary.end_ids
        return constraint.is_over or bool(ends & allowed(constraint, len(tokenizer)))

    return check
