"""A runner without a model: what may follow depends on all tokens so far, in a plain way."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.engine.batch import Batch
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.tokenizers import Tokenizer


class FakeRunner:
    """Keeps the tokens of each slot as its cache; logits are random numbers seeded by them.

    Attributes:
        steps: how many tokens each step had, in order.
        script: if set, the ids that follow a sequence of this length are sure.
    """

    def __init__(self, file: GGUFFile, vocabulary: int, context: int, sequences: int) -> None:
        self.file = file
        self.vocabulary = vocabulary
        self.context = context
        self.sequences = sequences
        self.batch = 8
        self.threads = 1
        self.cache = SimpleNamespace(kv_type="f16")
        self.slots: list[list[int]] = [[] for _ in range(sequences)]
        self.steps: list[int] = []
        self.script: dict[int, int] = {}

    def step(self, batch: Batch) -> np.ndarray:
        assert len(batch.tokens) == len(batch.positions) == len(batch.sequences) > 0
        self.steps.append(len(batch.tokens))
        rows = []
        for i, (token, position, slot) in enumerate(
            zip(batch.tokens, batch.positions, batch.sequences, strict=True)
        ):
            assert 0 <= token < self.vocabulary
            assert position == len(self.slots[slot]) < self.context
            self.slots[slot].append(token)
            if i in batch.outputs:
                rows.append(self.logits(self.slots[slot]))
        return np.stack(rows)

    def logits(self, tokens: list[int]) -> np.ndarray:
        rng = np.random.default_rng([*tokens, len(tokens)])
        row = rng.standard_normal(self.vocabulary).astype(np.float32) * 3
        if len(tokens) in self.script:
            row[self.script[len(tokens)]] = 100
        return row

    def length(self, slot: int) -> int:
        return len(self.slots[slot])

    def truncate(self, slot: int, length: int) -> None:
        assert length <= len(self.slots[slot])
        del self.slots[slot][length:]

    def copy(self, source: int, target: int) -> None:
        self.slots[target] = list(self.slots[source])

    def shift(self, slot: int, keep: int, drop: int) -> None:
        assert keep + drop <= len(self.slots[slot])
        del self.slots[slot][keep : keep + drop]

    def state(self, slot: int) -> bytes:
        return pickle.dumps(self.slots[slot])

    def restore(self, slot: int, state: bytes) -> None:
        if not state.startswith(b"\x80"):
            raise InputError("the state is of another type of cache")
        self.slots[slot] = pickle.loads(state)


Fake = Callable[..., FakeRunner]


@pytest.fixture(scope="session")
def builtin_file() -> GGUFFile:
    return zigllm_cli.load("builtin").file


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return zigllm_cli.load("builtin").tokenizer


@pytest.fixture
def fake(builtin_file: GGUFFile, tokenizer: Tokenizer) -> Fake:
    """Make a `FakeRunner` for the built-in model's vocabulary."""

    def make(context: int = 64, sequences: int = 1) -> FakeRunner:
        return FakeRunner(builtin_file, len(tokenizer), context, sequences)

    return make
