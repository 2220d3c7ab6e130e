"""Models to evaluate: the kit's real one and the built-in one, whose weights are random."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.model import Model


@pytest.fixture(scope="session")
def small() -> Model:
    """The built-in model."""
    return zigllm_cli.load(RANDOM, threads=2)


@pytest.fixture(scope="session")
def real(kit: Path) -> Path:
    """The kit's folder with a trained model in several types, and texts."""
    return kit / "real"


@pytest.fixture(scope="session")
def text() -> str:
    """Words and lines from a seed, about 2,300 tokens of the built-in model."""
    rng = random.Random(6)
    words = ["hear", "me", "speak", "Before", "we", "proceed", "any", "further", "naïve", "漢字"]
    return " ".join(rng.choice(["\n", ", ", ""]) + rng.choice(words) for _ in range(500))


@pytest.fixture(scope="session")
def text_file(text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a file."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture(scope="session")
def log_probs_of() -> Callable[[Model, list[int]], np.ndarray]:
    """Log-probabilities of each next token, float64, from the logits of the whole sequence."""

    def compute(model: Model, tokens: list[int]) -> np.ndarray:
        logits = model.logits(tokens).astype(np.float64)
        logits -= logits.max(1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return logs[np.arange(len(tokens) - 1), tokens[1:]]

    return compute
