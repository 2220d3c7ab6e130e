"""Going on from a file: the same model, the same tokens, a better loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.errors import UnsupportedError
from zigllm_cli.train.initial import read_initial
from zigllm_cli.train.network import Network

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., CompletedProcess[str]]
Trained = Callable[[str], tuple[Path, CompletedProcess[str]]]

FAMILIES = ("llama", "llama-untied", "gpt2", "gpt2-bias")


def same_logits(path: Path, tolerance: float) -> None:
    """The engine's and those of a network that is made from the file."""
    initial = read_initial(path)
    network = Network(initial.shape, initial.flat, parameters=initial.parameters)
    ids = np.random.default_rng(0).integers(0, initial.shape.vocabulary, 20).astype(np.int32)
    ours = network.logits(ids[None])[0]
    engine = zigllm_cli.load(path).logits(ids.tolist())
    assert np.abs(ours - engine).max() <= tolerance * np.abs(engine).max()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_of_this_program_is_read_as_it_was_written(trained: Trained, name: str) -> None:
    same_logits(trained(name)[0], 2e-6)


def test_a_file_of_another_program_is_read(kit: Path) -> None:
    same_logits(kit / "real" / "stories260K-f32.gguf", 2e-6)


def test_a_quantised_model_is_a_start(tmp_path: Path, text: Path, zigllm: Run) -> None:
    output = tmp_path / "more.gguf"
    options = ("--init", "builtin", "--steps", "3", "--ctx", "32", "--batch", "4", "--json")
    done = zigllm("train", text, "-o", output, *options)
    assert done.returncode == 0, done.stderr
    file = zigllm_cli.open_gguf(output)
    assert {tensor.type.name for tensor in file.tensors.values()} == {"F32"}


def test_training_goes_on(trained: Trained, text: Path, tmp_path: Path, zigllm: Run) -> None:
    path, first = trained("llama")
    output = tmp_path / "more.gguf"
    options = ("--init", path, "--ctx", "24", "--batch", "24", "--steps", "10", "--warmup", "0")
    done = zigllm("train", text, "-o", output, *options, "--json")
    assert done.returncode == 0, done.stderr
    before = [json.loads(line) for line in first.stdout.splitlines()]
    after = [json.loads(line) for line in done.stdout.splitlines()]
    assert after[0]["loss"] < before[0]["loss"] - 0.5
    old, new = zigllm_cli.open_gguf(path), zigllm_cli.open_gguf(output)
    for key in old.metadata:
        if key != "general.name":
            a, b = old.metadata[key], new.metadata[key]
            assert (a.tolist() if hasattr(a, "tolist") else a) == (
                b.tolist() if hasattr(b, "tolist") else b
            )


def test_what_cannot_be_trained_is_a_sentence(kit: Path, tmp_path: Path, zigllm: Run) -> None:
    names = kit / "text" / "names.txt"
    other = ROOT / "tests" / "data" / "families" / "olmo.gguf"
    done = zigllm("train", names, "-o", tmp_path / "x.gguf", "--init", other)
    assert done.returncode == 4
    assert "architecture olmo; training goes on from llama, gpt2, microgpt" in done.stderr
    done = zigllm("train", names, "-o", tmp_path / "x.gguf", "--init", "builtin", "--width", "64")
    assert done.returncode == 2
    assert "width is that of builtin; it cannot be changed" in done.stderr


def test_a_variant_of_llama_is_refused(kit: Path) -> None:
    mixtral = next((kit / "models").glob("mixtral*/*.gguf"), None)
    if mixtral is None:
        pytest.skip("the kit has no Mixtral")
    with pytest.raises(UnsupportedError, match="cannot be trained"):
        read_initial(mixtral)
