"""Options that a run could not follow are refused, none is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from zigllm_cli.app import run

SMALL = "--layers 1 --width 32 --heads 4 --batch 2 --steps 2 --evaluate-every 1"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("{text} --recipe microgpt --dropout 0.5", "dropout is 0.5, but microgpt has no such"),
        ("{text} --recipe chargpt --kv-heads 2", "kv_heads is 2, but gpt2 has no such thing"),
        ("{text} --set bias=true", "bias is True, but llama has no such thing"),
        ("{text} --recipe microgpt --validation {text}", "learns from all documents; leave --val"),
        ("--recipe mingpt-sort --validation {text}", "a part of its own back; leave --validation"),
        ("--recipe mingpt-sort --ctx 32", "makes sequences of one length; leave --ctx out"),
        ("{text} --recipe microgpt --vocab bpe", "learned by characters; leave --vocab out"),
        ("{text} --recipe chargpt --vocab-size 400", "add --vocab bpe, or leave it out"),
        ("{text} --init builtin --ctx 4096", "knows 512 positions; choose --ctx 512 or less"),
    ],
)
def test_what_a_run_could_not_follow(
    command: str, words: str, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = f"-o {tmp_path / 'out.gguf'} --steps 2"
    assert run(["train", *command.format(text=text).split(), *options.split()]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert words in error
    assert not list(tmp_path.iterdir())


def test_microgpt_learns_running_text_in_float32_too(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.gguf"
    settings = "--set architecture=microgpt --set precision=float32 --set epsilon=1e-3 --ctx 16"
    words = f"{text} -o {output} --recipe chargpt --set bias=false --dropout 0 {settings} {SMALL}"
    assert run(["train", *words.split()]) == 0, capsys.readouterr().err
    assert "microgpt of" in capsys.readouterr().err
    assert output.read_bytes()[:4] == b"GGUF"
