"""microgpt: the original's numbers and names, and its fused gradient against the tape's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.train.kernels import microgpt as fused
from zigllm_cli.train.microgpt import MicroNetwork
from zigllm_cli.train.network import Network
from zigllm_cli.train.settings import Settings, read_recipe
from zigllm_cli.train.tasks.names import Names
from zigllm_cli.train.trainer import Trainer

Run = Callable[..., CompletedProcess[str]]

NAMES = (
    "kamon ann karai jaire vialan karia yeran anna areli kaina konna keylen liole alerin earan "
    "lenne kana lara alela anton"
)
"""What the original prints with seed 42 after 1000 steps."""


def micro_settings(**changes: object) -> Settings:
    return read_recipe("microgpt").settings.changed(**changes)


def test_losses_and_names_are_those_of_the_original(kit: Path, tmp_path: Path, zigllm: Run) -> None:
    names, output = kit / "text" / "names.txt", tmp_path / "names.gguf"
    done = zigllm("train", names, "-o", output, "--recipe", "microgpt", "--json")
    assert done.returncode == 0, done.stderr
    *steps, last = map(json.loads, done.stdout.splitlines())
    assert len(steps) == 1000
    assert f"{steps[0]['loss']:.4f}" == "3.3660"
    assert steps[-1]["loss"] == pytest.approx(2.64969447, abs=5e-9)
    assert " ".join(last["samples"]) == NAMES

    model = zigllm_cli.load(output)
    ids = model.tokenizer.encode("emma", add_special=True, parse_special=False)
    assert ids == [26, 4, 12, 12, 0]
    assert model.logits(ids).shape == (5, 27)


@pytest.mark.parametrize(("layers", "heads", "length"), [(1, 4, 5), (3, 2, 9), (2, 1, 1)])
def test_the_fused_gradient_is_the_tapes(layers: int, heads: int, length: int) -> None:
    sizes = {"layers": layers, "heads": heads, "width": 12, "ff": 20, "context": 9}
    shape = micro_settings(epsilon=1e-3, **sizes).shape(7)
    network = Network.fresh(shape, 3, dtype=np.float64)
    network.flat *= 5
    tokens = np.random.default_rng(1).integers(0, 7, (2, length)).astype(np.int32)
    loss = network.learn(tokens[:1], tokens[1:], factor=0.3, dropout=0, key=0, more=False)
    gradient = np.zeros_like(network.flat)
    arrays = (network.flat, gradient, tokens[0], tokens[1])
    found = fused.learn(*arrays, (7, 9, 12, heads, 20, layers), 1e-3, 0.3)
    assert found == pytest.approx(loss, rel=1e-12)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(gradient, network.gradient, rtol=1e-10, atol=1e-12 * scale)


def test_a_text_of_two_thousand_characters() -> None:
    characters = [chr(0x4E00 + i) for i in range(2000)]
    text = "\n".join("".join(characters[i : i + 8]) for i in range(0, 2000, 8))
    settings = micro_settings(steps=20)
    task = Names(settings, text)
    assert task.vocabulary.size == 2001
    assert task.vocabulary.tokenizer.encode(text[:8], add_special=False) == [*range(8)]
    network = MicroNetwork.drawn(settings.shape(2001), task.random)
    trainer = Trainer(settings, task, network)
    trainer.run()
    assert trainer.history.losses[0] == pytest.approx(np.log(2001), rel=0.05)
    assert trainer.history.steps == 20


def test_a_character_that_the_vocabulary_lacks_becomes_the_boundary() -> None:
    task = Names(micro_settings(), "ab\nba\n")
    assert task.vocabulary.tokenizer.encode("a?b", add_special=False) == [0, 2, 1]
