"""Trained files: they run in the engine and in llama.cpp, and mean what training meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

import zigllm_cli

Trained = Callable[[str], tuple[Path, CompletedProcess[str]]]
Run = Callable[..., CompletedProcess[str]]

NAMES = ("llama", "llama-untied", "gpt2", "gpt2-bias")
RATES = {"llama": 1e-3, "llama-untied": 1e-3, "gpt2": 2e-3, "gpt2-bias": 5e-4}
"""Learning rates of the recipes."""

TOLERANCES = [("llama", 1e-4), ("llama-untied", 1e-4), ("gpt2", 2e-3), ("gpt2-bias", 2e-3)]
"""llama.cpp takes its GELU from a half-precision table."""


def records(done: CompletedProcess[str]) -> list[dict[str, float]]:
    """The JSON lines of a run."""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_training_learns(trained: Trained, name: str) -> None:
    *steps, last = records(trained(name)[1])
    assert [step["step"] for step in steps] == [*range(1, 41)]
    assert last["validation_loss"] < steps[0]["loss"] - 0.3
    assert steps[19]["validation_loss"] > steps[39]["validation_loss"]
    assert max(step["learning_rate"] for step in steps) == RATES[name]


@pytest.mark.parametrize("name", NAMES)
def test_perplexity_of_the_file_is_the_validation_loss(
    trained: Trained, zigllm: Run, held_out: Path, name: str
) -> None:
    path, done = trained(name)
    last = records(done)[-1]
    windows = ("--window", "24", "--overlap", "1", "--kv-type", "f32", "--json")
    found = zigllm("perplexity", "-m", path, held_out, *windows)
    assert found.returncode == 0, found.stderr
    figures = json.loads(found.stdout)
    assert figures["tokens_scored"] == last["validation_tokens"]
    assert figures["nll"] == pytest.approx(last["validation_loss"], rel=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "tolerance"), TOLERANCES)
def test_llama_cpp_gives_the_same_logits(
    trained: Trained, held_out: Path, name: str, tolerance: float
) -> None:
    import llama_cpp_runs

    path, _ = trained(name)
    model = zigllm_cli.load(path)
    ids = model.tokenizer.encode(held_out.read_text("utf-8")[:200])[:24]
    theirs = llama_cpp_runs.logits(path, ids, 32)
    ours = model.logits(ids)
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()
