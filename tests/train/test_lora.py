"""Adapters: their gradient, and that the engine and llama.cpp run what was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.errors import UsageError
from zigllm_cli.train.initial import read_initial
from zigllm_cli.train.lora import LoraNetwork, parse_lora, write_adapter
from zigllm_cli.train.settings import Settings

Run = Callable[..., CompletedProcess[str]]
Trained = Callable[[str], tuple[Path, CompletedProcess[str]]]

FAMILIES = [("llama", 1e-4), ("gpt2-bias", 2e-3)]
IDS = [5 * i % 13 for i in range(20)]


def adapted(path: Path, precision: str = "float32") -> tuple[LoraNetwork, Settings]:
    """A network with an adapter that changes something."""
    s = Settings(lora_rank=3, lora_alpha=6.0, precision=precision)
    network = LoraNetwork(read_initial(path), s)
    network.flat[:] = np.random.default_rng(1).normal(0, 0.2, network.flat.size)
    return network, s


@pytest.mark.parametrize("name", ["llama", "gpt2-bias"])
def test_the_gradient_is_that_of_central_differences(trained: Trained, name: str) -> None:
    network, _ = adapted(trained(name)[0], "float64")
    tokens = np.array([IDS], np.int32)
    targets = np.roll(tokens, -1)
    network.learn(tokens, targets, factor=1.0, dropout=0.0, key=0, more=False)
    gradient = network.gradient.copy()
    numeric = np.zeros_like(gradient)
    for place in (chosen := np.random.default_rng(2).choice(gradient.size, 60, replace=False)):
        old, ends = network.flat[place], []
        for side in (1e-5, -1e-5):
            network.flat[place] = old + side
            ends.append(network.losses(tokens, targets).sum())
        network.flat[place] = old
        numeric[place] = (ends[0] - ends[1]) / 2e-5
    scale = np.abs(numeric).max()
    np.testing.assert_allclose(gradient[chosen], numeric[chosen], rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize(("name", "_"), FAMILIES)
def test_the_engine_runs_the_adapter(trained: Trained, tmp_path: Path, name: str, _: float) -> None:
    base, adapter = trained(name)[0], tmp_path / "adapter.gguf"
    network, s = adapted(base)
    write_adapter(adapter, network, s, "mine")
    ours = network.logits(np.array([IDS], np.int32))[0]
    engine = zigllm_cli.load(base, lora=adapter).logits(IDS)
    plain = zigllm_cli.load(base).logits(IDS)
    scale = np.abs(engine).max()
    assert np.abs(ours - engine).max() <= 1e-5 * scale
    assert np.abs(ours - plain).max() > 0.05 * scale


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "tolerance"), FAMILIES)
def test_llama_cpp_runs_the_adapter(
    trained: Trained, tmp_path: Path, name: str, tolerance: float
) -> None:
    import llama_cpp_runs

    base, adapter = trained(name)[0], tmp_path / "adapter.gguf"
    network, s = adapted(base)
    write_adapter(adapter, network, s, "mine")
    ours = network.logits(np.array([IDS], np.int32))[0]
    theirs = llama_cpp_runs.logits(base, IDS, 32, adapters=[(adapter, 1.0)])
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def test_the_command_learns_an_adapter(
    trained: Trained, text: Path, held_out: Path, tmp_path: Path, zigllm: Run
) -> None:
    base, adapter = trained("gpt2")[0], tmp_path / "adapter.gguf"
    options = ("--init", base, "--lora", "r=4,alpha=8", "--validation", held_out, "--json")
    more = ("--ctx", "24", "--batch", "24", "--steps", "40", "--warmup", "0", "--lr", "0.01")
    done = zigllm("train", text, "-o", adapter, *options, *more)
    assert done.returncode == 0, done.stderr
    *steps, last = map(json.loads, done.stdout.splitlines())
    assert last["validation_loss"] < steps[0]["loss"] - 0.02
    windows = ("--window", "24", "--overlap", "1", "--kv-type", "f32", "--json")
    found = zigllm("perplexity", "-m", base, "--lora", adapter, held_out, *windows)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["nll"] == pytest.approx(last["validation_loss"], rel=1e-5)


def test_what_lora_asks_for() -> None:
    assert parse_lora("r=8, alpha=32") == {"lora_rank": "8", "lora_alpha": "32"}
    for wrong in ("8", "rank=8", "alpha=3", "r=8,alpha"):
        with pytest.raises(UsageError, match="r=8,alpha=16"):
            parse_lora(wrong)


def test_an_adapter_needs_a_model(text: Path, tmp_path: Path, zigllm: Run) -> None:
    done = zigllm("train", text, "-o", tmp_path / "a.gguf", "--lora", "r=4")
    assert done.returncode == 2
    assert "--init" in done.stderr
