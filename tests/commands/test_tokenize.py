"""`zigllm tokenize` as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from random_model import RANDOM

import zigllm_cli

Run = Callable[..., "subprocess.CompletedProcess[str]"]
TEXT = "Before we proceed any further, hear me speak.\n"


@pytest.fixture(scope="module")
def ids() -> list[int]:
    return zigllm_cli.load(RANDOM).tokenizer.encode(TEXT)


def test_lines_of_id_and_piece(zigllm: Run, ids: list[int]) -> None:
    done = zigllm("tokenize", "-m", RANDOM, TEXT)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [int(row[0]) for row in rows] == ids
    assert "".join(row[1] for row in rows).replace("\\n", "\n").endswith(TEXT)
    assert f"{len(ids)} tokens, {len(TEXT)} characters" in done.stderr


def test_text_from_everywhere(zigllm: Run, ids: list[int], tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    expected = " ".join(map(str, ids)) + "\n"
    assert zigllm("tokenize", "--ids", "-m", RANDOM, TEXT).stdout == expected
    assert zigllm("tokenize", "--ids", "-m", RANDOM, "-f", file).stdout == expected
    assert zigllm("tokenize", "--ids", "-m", RANDOM, input=TEXT).stdout == expected
    assert zigllm("tokenize", "--ids", "-m", RANDOM, "-f", "-", input=TEXT).stdout == expected


def test_the_builtin_model_is_used_and_named(zigllm: Run) -> None:
    done = zigllm("tokenize", "--count", TEXT)
    assert done.stdout == f"{len(zigllm_cli.load('builtin').tokenizer.encode(TEXT))}\n"
    assert done.stderr == "no model given: using builtin\n"


def test_there_and_back(zigllm: Run, ids: list[int]) -> None:
    for spelling in (" ".join(map(str, ids)), str(ids), ",".join(map(str, ids))):
        done = zigllm("tokenize", "-m", RANDOM, "--decode", spelling)
        assert (done.stdout, done.stderr) == (TEXT, "")


def test_special_tokens(zigllm: Run) -> None:
    plain = zigllm("tokenize", "-m", RANDOM, "--ids", "a", "--no-special").stdout.split()
    assert zigllm("tokenize", "-m", RANDOM, "--ids", "a").stdout.split() == ["1", *plain]
    parsed = zigllm("tokenize", "-m", RANDOM, "--ids", "--parse-special", "--no-special", "</s>")
    assert parsed.stdout == "2\n"
    shown = zigllm("tokenize", "-m", RANDOM, "--decode", "--parse-special", "1 2")
    assert shown.stdout == "<s></s>"
    assert zigllm("tokenize", "-m", RANDOM, "--decode", "1 2").stdout == ""


def test_json(zigllm: Run) -> None:
    done = zigllm("tokenize", "-m", RANDOM, "--json", "é")
    document = json.loads(done.stdout)
    assert document["count"] == len(document["tokens"]) > 1
    assert document["tokens"][0] == {"id": 1, "text": "<s>", "bytes": "3c733e", "type": "control"}
    raw = b"".join(bytes.fromhex(token["bytes"]) for token in document["tokens"][1:])
    assert raw == " é".encode()
    assert done.stderr == ""


def test_explanation(zigllm: Run) -> None:
    lines = zigllm("tokenize", "-m", RANDOM, "--explain", "hear me").stdout.splitlines()
    assert lines[0] == "pre-tokens: ▁hear | ▁me"
    assert lines[3].split() == ["start", "▁", "h", "e", "a", "r"]
    assert all("score" in line for line in lines[4:6])
    assert lines[-1].strip().startswith("tokens")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("x", "-f", "y"), 2, "not both"),
        (("-f", "nowhere.txt"), 3, "cannot read nowhere.txt: no such file"),
        (("-f", "."), 3, "cannot read .: is a directory"),
        (("--decode", "1 x"), 2, "'x' is not a token id"),
        (("--decode", "99999"), 2, "token id 99999 is outside the vocabulary"),
        (("--decode", "--ids", "1"), 2, "exclude each other"),
    ],
)
def test_mistakes(zigllm: Run, args: tuple[str, ...], code: int, message: str) -> None:
    done = zigllm("tokenize", "-m", RANDOM, *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_control_character_reaches_the_terminal(zigllm: Run) -> None:
    done = zigllm("tokenize", "-m", RANDOM, "a\x1b[31mb\x07\u202e")
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "\u202e" not in done.stdout


def on_a_terminal(*args: str, **environment: str) -> tuple[int, str]:
    """Run with a terminal as stdin, stdout and stderr; returns exit code and screen text."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "zigllm_cli", *args]
    variables = {**os.environ, "TERM": "xterm-256color", **environment}
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=variables
    ) as process:
        os.close(follower)
        screen = b""
        while True:
            try:
                block = os.read(leader, 65536)
            except OSError:  # Linux reports the other end's closing so
                break
            if not block:
                break
            screen += block
        os.close(leader)
        return process.wait(60), screen.decode("utf-8")


def test_colours_on_a_terminal() -> None:
    code, screen = on_a_terminal("tokenize", "-m", RANDOM, "hear me")
    assert code == 0
    assert "\x1b[38;5;16;48;5;153m<s>\x1b[0m" in screen
    assert "\x1b[38;5;16;48;5;153m1\x1b[0m" in screen
    _, plain = on_a_terminal("tokenize", "-m", RANDOM, "hear me", NO_COLOR="1")
    assert "\x1b" not in plain


def test_decoded_text_ends_with_a_line_feed_on_a_terminal() -> None:
    assert on_a_terminal("tokenize", "-m", RANDOM, "--decode", "1") == (0, "\r\n")


def test_decoded_control_characters_are_shown_escaped_on_a_terminal() -> None:
    ids = zigllm_cli.load(RANDOM).tokenizer.encode("a\x1b[31m\tb")
    code, screen = on_a_terminal("tokenize", "-m", RANDOM, "--decode", str(ids))
    assert (code, screen) == (0, "a\\x1b[31m\tb\r\n")


def test_a_terminal_without_text_is_told_what_to_do() -> None:
    code, screen = on_a_terminal("tokenize", "-m", RANDOM)
    assert code == 2
    assert "give it as an argument, with -f FILE or through a pipe" in screen
