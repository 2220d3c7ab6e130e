"""`zigllm embed`: what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zigllm_cli

TEXTS = ("Speak, speak.", "Before we proceed", "O Romeo")


@pytest.fixture(scope="module")
def bert(kit: Path) -> Path:
    return kit / "models/bert-mean/model-f32.gguf"


@pytest.fixture(scope="module")
def vectors(bert: Path) -> np.ndarray:
    return zigllm_cli.load(bert).embed(TEXTS)


def test_a_pipe_gets_one_vector_a_line(zigllm: Any, bert: Path, vectors: np.ndarray) -> None:
    done = zigllm("embed", "-m", bert, input="\n".join(TEXTS) + "\n\n")
    assert done.returncode == 0, done.stderr
    numbers = np.array([line.split() for line in done.stdout.splitlines()], np.float32)
    assert np.array_equal(numbers, vectors)


def test_json_npy_and_normalisation(
    zigllm: Any, bert: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "texts").write_text("\n".join(TEXTS))
    done = zigllm("embed", "-m", bert, "-f", tmp_path / "texts", "--json", "--normalize")
    document = json.loads(done.stdout)
    assert (document["schema"], document["width"]) == ("zigllm.embed/1", 64)
    assert [entry["text"] for entry in document["data"]] == list(TEXTS)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose([e["embedding"] for e in document["data"]], unit, atol=1e-6)
    done = zigllm("embed", "-m", bert, *TEXTS, "--npy", tmp_path / "v.npy")
    assert done.stdout == ""
    assert np.array_equal(np.load(tmp_path / "v.npy"), vectors)


def test_similarity(zigllm: Any, bert: Path, vectors: np.ndarray) -> None:
    done = zigllm("embed", "-m", bert, *TEXTS, "--similarity", "--json")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(json.loads(done.stdout)["cosines"], unit @ unit.T, atol=1e-6)
    table = zigllm("embed", "-m", bert, *TEXTS, "--similarity").stdout
    assert f"{(unit @ unit.T)[0, 1]:.3f}" in table
    assert "O Romeo" in table


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("x", "--similarity", "--rank", "y"), "exclude each other"),
        (("x", "--pooling", "sum"), "pooling 'sum' is unknown: use none, mean, cls, last, rank"),
        (("x", "-f", "y"), "as arguments or with -f y"),
        (("--file", "/nowhere"), "cannot read /nowhere"),
        (("x", "--rank", "y"), "it is not a reranker"),
        (("word " * 200,), "the model reads 128: shorten it, or cut all such texts with"),
    ],
)
def test_refusals(zigllm: Any, bert: Path, args: tuple[str, ...], message: str) -> None:
    done = zigllm("embed", "-m", bert, *args)
    assert done.returncode != 0
    assert message in done.stderr
    assert done.stdout == ""


def test_cut(zigllm: Any, bert: Path) -> None:
    done = zigllm("embed", "-m", bert, "word " * 200, "--truncate")
    assert done.returncode == 0
    assert "1 of 1 texts are cut to 128 tokens" in done.stderr


@pytest.mark.slow
def test_warmup_of_an_encoder(
    zigllm: Any, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that embedding needs is compiled, and counted."""
    monkeypatch.setenv("ZIGLLM_CACHE", str(tmp_path))
    done = zigllm("warmup", "-m", bert, timeout=600)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    counts = re.search(r"(\d+) kernels, (\d+) of them new", done.stderr)
    assert counts is not None
    assert counts[1] == counts[2]
    zigllm("embed", "-m", bert, *TEXTS)
    assert "0 of them new" in zigllm("warmup", "-m", bert).stderr
