"""A text that no file holds, and small models trained on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]

SMALL = (
    *("--layers", "2", "--width", "32", "--heads", "4", "--ff", "48", "--ctx", "24"),
    *("--batch", "24", "--steps", "40", "--warmup", "5", "--evaluate-every", "20"),
)

MODELS = {
    "llama": ("llama", "--kv-heads", "2", "--vocab-size", "300"),
    "llama-untied": ("llama", "--vocab", "characters", "--set", "tied=false", "--dropout", "0.1"),
    "gpt2": ("nanogpt-shakespeare-cpu", "--dropout", "0.1"),
    "gpt2-bias": ("chargpt", "--accumulate", "2"),
}
"""Recipe and options of each."""


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of made-up words, some with letters beyond ASCII."""
    random = Random(7)
    syllables = ["ba", "ke", "lo", "mi", "nu", "ra", "so", "te", "vi", "zöl", "né"]
    words = ["".join(random.choices(syllables, k=random.randint(1, 3))) for _ in range(60)]
    lines = [" ".join(random.choices(words, k=random.randint(3, 9))) + "." for _ in range(900)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="session")
def held_out(text: Path) -> Path:
    """Another text in the same words."""
    lines = text.read_text("utf-8").splitlines()[:120]
    path = text.with_name("held.txt")
    path.write_text("\n".join(reversed(lines)) + "\n", "utf-8")
    return path


@pytest.fixture(scope="session")
def trained(
    zigllm: Run, text: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, CompletedProcess[str]]]:
    """Train one of `MODELS` once: its file, and what the command said."""
    folder = tmp_path_factory.mktemp("trained")
    done: dict[str, tuple[Path, CompletedProcess[str]]] = {}

    def train(name: str) -> tuple[Path, CompletedProcess[str]]:
        if name not in done:
            output = folder / f"{name}.gguf"
            recipe, *options = MODELS[name]
            command = ("train", text, "--validation", held_out, "-o", output, "--recipe", recipe)
            result = zigllm(*command, *SMALL, *options, "--json")
            assert result.returncode == 0, result.stderr
            done[name] = output, result
        return done[name]

    return train
