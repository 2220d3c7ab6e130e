"""No command writes onto what it reads, and a place that cannot be written is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from zigllm_cli.app import run

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present one, with a model and texts in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.gguf").write_bytes((DATA / "random.gguf").read_bytes())
    for name in ("text.txt", "held.txt", "text.jsonl", "text.png"):
        (tmp_path / name).write_text("a text to be kept as it is\n" * 40, "utf-8")
    return tmp_path


COMMANDS = {
    "train onto its text": "train text.txt -o text.txt",
    "train onto its held-out text": "train text.txt --validation held.txt -o held.txt",
    "train onto its model": "train text.txt --init model.gguf -o model.gguf",
    "imatrix onto its text": "imatrix -m model.gguf -f text.txt -o text.txt",
    "imatrix onto its model": "imatrix -m model.gguf -f text.txt -o model.gguf",
    "imatrix onto a matrix": "imatrix --in-file text.txt -o text.txt",
    "perplexity onto its text": "perplexity -m model.gguf text.txt -o text.txt",
    "perplexity by token": "perplexity -m model.gguf text.jsonl --per-token text.jsonl",
    "perplexity with logits": "perplexity -m model.gguf text.txt --save-logits text.txt",
    "llama.cpp's word": "perplexity -m model.gguf text.txt --kl-divergence-base text.txt",
    "perplexity onto its model": "perplexity -m model.gguf text.txt -o model.gguf",
    "perplexity of several": "perplexity --compare model.gguf model.gguf text.txt -o text.txt",
    "parts that are merged": "perplexity --merge text.txt -o text.txt",
    "embed onto its text": "embed -m model.gguf -f text.txt --npy text.txt",
    "quantize onto its model": "quantize model.gguf model.gguf --target-bpw 5",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_inputs_are_kept(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert run(COMMANDS[name].split()) == 2
    error = capsys.readouterr().err
    assert "is the file being read; write to another name" in error
    assert len(error.splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "command",
    [
        "train text.txt -o none/out.gguf",
        "imatrix -m model.gguf -f text.txt -o none/out.gguf",
        "perplexity -m model.gguf text.txt -o none/out.json",
        "perplexity -m model.gguf text.txt --per-token none/out.jsonl",
        "perplexity -m model.gguf text.txt --save-logits none/out",
        "embed -m model.gguf -f text.txt --npy none/out.npy",
        "quantize model.gguf none/out.gguf --target-bpw 5",
    ],
)
def test_a_folder_that_is_missing(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command.split()) == 3
    (error,) = capsys.readouterr().err.splitlines()
    assert "there is no folder" in error
    assert "make it first" in error
