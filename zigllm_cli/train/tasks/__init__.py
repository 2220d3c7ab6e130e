"""What a model learns: texts, or examples that a rule makes.

    text     running text, or a document per line
    names    short documents, one at a time
    sort     minGPT's: numbers to be sorted
    adder    minGPT's: sums of two numbers

Batches are functions of the seed and the step alone, so a run that was interrupted goes on with the
very batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from zigllm_cli.gguf.entry import Entry
from zigllm_cli.tokenizers import Tokenizer
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.values import Array

Batch = tuple[Array, Array]
"""Tokens and targets [B, T], int32; a target below 0 does not count."""


class AnyVocabulary(Protocol):
    """Made from the text, or of a file.

    Attributes:
        size: tokens.
        end: what stands between documents.
        tokenizer: the engine's.
    """

    @property
    def size(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text, special tokens in it included."""

    def entries(self) -> list[Entry]:
        """The `tokenizer.*` keys of a file."""


class Task(Protocol):
    """Where batches come from.

    Attributes:
        vocabulary: of the model.
        context: tokens of a sequence.
        digest: of all that the batches depend on besides the settings.
    """

    vocabulary: AnyVocabulary
    context: int
    digest: str

    def batch(self, step: int, part: int) -> Batch:
        """To learn from, in a step's part (of gradient accumulation)."""

    def held_out(self, batches: int | None) -> Iterator[Batch]:
        """To validate on: so many batches, the same ones each time, or all there are."""


def generator(s: Settings, *place: int) -> np.random.Generator:
    """Random numbers of one place in a run."""
    return np.random.default_rng([s.seed, *place])
