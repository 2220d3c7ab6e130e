"""`zigllm inspect` on a terminal: colours, widths, what must not reach it. A pty stands in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from random_model import RANDOM

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_terminal(*args: str | Path, columns: int = 100, **environment: str) -> str:
    """What a terminal of this width receives; stderr is one, too."""
    import fcntl
    import struct

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    base = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "zigllm_cli", "inspect", *map(str, args)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**base, "TERM": "xterm-256color", **environment},
    )
    os.close(follower)
    received = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        received += piece
    os.close(leader)
    process.wait(timeout=60)
    return received.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return ESCAPES.sub("", text)


VIEWS = [
    (),
    ("--metadata",),
    ("--tensors",),
    ("--tensor", "output_norm.weight"),
    ("--check",),
    ("--diff", RANDOM),
]


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_without_colours_there_are_no_escapes(
    view: tuple[str, ...], setting: dict[str, str]
) -> None:
    assert "\x1b" not in on_terminal(RANDOM, *view, **setting)


def test_with_colours_there_are() -> None:
    text = on_terminal(RANDOM)
    assert "\x1b[1mllama-k256\x1b[0m" in text
    assert "context length  256 tokens" in plain(text)


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
@pytest.mark.parametrize("columns", [40, 60, 100])
def test_lines_fit_and_nothing_vanishes(view: tuple[str, ...], columns: int) -> None:
    for setting in ({}, {"TERM": "dumb"}):
        text = plain(on_terminal(RANDOM, *view, columns=columns, **setting))
        assert max(map(len, text.splitlines())) <= columns
        assert "…" not in text
        if view == ("--tensors",):
            assert all(name in text for name in ("blk.0.attn_output.weight", "token_embd.weight"))
            assert "280480" in text
        if view == ("--metadata",):
            assert "llama.attention.layer_norm_rms_epsilon" in text
        if view == ():
            assert "bits" in text
            assert "439 kB" in text


def test_long_names_fold(tmp_path: Path) -> None:
    name = "abcdefghij" * 9
    path = write(tmp_path / "a.gguf", {name: np.ones(4, np.float32)})
    text = plain(on_terminal(path, "--tensors", columns=40))
    assert name in text.replace("\n", "").replace(" ", "")


def test_raw_values_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", {}, "one\n\ttwo\x1b[2J\x9b31m")
    for view in (("--template",), ("--key", "tokenizer.chat_template")):
        assert on_terminal(path, *view) == "one\n\ttwo\\x1b[2J\\x9b31m\n"


def write(path: Path, tensors: dict[str, np.ndarray], template: str = "") -> Path:
    writer = gguf.GGUFWriter(path, "novel")
    if template:
        writer.add_chat_template(template)
    for name, data in tensors.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_progress_of_large_tensors_goes_to_stderr(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", {"x": np.ones(10 << 20, np.float32)})
    text = on_terminal(path, "--tensor", "x")
    assert "reading x" in text
    assert "every value is 1" in plain(text)
    assert "reading" not in on_terminal(RANDOM, "--tensor", "output_norm.weight")
