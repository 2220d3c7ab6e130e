"""The command line as a whole: one sentence per error, exit codes, streams."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import cleandoc
from pathlib import Path

import pytest
import typer.main

import zigllm_cli
from zigllm_cli import app, errors

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_version(zigllm: Run) -> None:
    for flag in ("--version", "-V"):
        done = zigllm(flag)
        assert (done.returncode, done.stdout) == (0, f"zigllm {zigllm_cli.__version__}\n")


def test_help_lists_every_command(zigllm: Run) -> None:
    done = zigllm("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in app.COMMANDS)
    assert zigllm().stdout == done.stdout


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("nope",), 2, "No such command"),
        (("tokenize", "--nope"), 2, "No such option"),
        (("tokenize", "--model"), 2, "requires an argument"),
        (("tokenize", "x", "-m", "nowhere.gguf"), 3, "no model 'nowhere.gguf'"),
        (("tokenize", "x", "-m", "."), 3, "not a regular file"),
    ],
)
def test_errors_are_one_sentence(
    zigllm: Run, args: tuple[str, ...], code: int, message: str
) -> None:
    done = zigllm(*args)
    assert done.returncode == code
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.startswith("zigllm: ")
    assert done.stderr.count("\n") == 1


def test_debug_shows_the_traceback(zigllm: Run) -> None:
    done = zigllm("--debug", "tokenize", "x", "-m", "nowhere.gguf")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_every_error_has_its_own_exit_code() -> None:
    kinds = [errors.ZigllmError, *errors.ZigllmError.__subclasses__()]
    codes = [kind.exit_code for kind in kinds]
    assert codes == [1, 2, 3, 4, 5, 6, 7]
    assert all(str(code) in (errors.__doc__ or "") for code in codes)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.UsageError("a\nb"), 2, "a b"),
        (FileNotFoundError(2, "No such file or directory", "x.gguf"), 3, "x.gguf: no such file"),
        (MemoryError(), 5, "out of memory"),
        (ValueError("odd"), 1, "unexpected ValueError: odd"),
    ],
)
def test_report(capsys: pytest.CaptureFixture[str], error: Exception, code: int, text: str) -> None:
    assert app.report(error) == code
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.out == ""


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """`zigllm ... | head -1` with more output than a pipe holds."""
    text = tmp_path / "long.txt"
    text.write_text("word " * 100_000)
    command = [sys.executable, "-m", "zigllm_cli", "tokenize", "-m", "builtin", "-f", str(text)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == errors.CLOSED_PIPE


def test_spellings_of_llama_cpp_are_understood() -> None:
    from zigllm_cli.commands._options import respell

    assert respell(["--ctx-size", "5", "--n-predict=7"]) == ["--ctx", "5", "--max-tokens=7"]
    assert respell(["--", "--ctx-size"]) == ["--", "--ctx-size"]


def test_completion_script_is_printed(zigllm: Run) -> None:
    done = zigllm("--show-completion", "bash")
    assert "zigllm" in done.stdout


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    function = getattr(import_module(f"zigllm_cli.commands.{name}"), name)
    command = typer.main.get_command(function) if isinstance(function, typer.Typer) else None
    text = command.help if command else cleandoc(function.__doc__)
    assert app.COMMANDS[name] == " ".join(text.split("\n\n")[0].split())
