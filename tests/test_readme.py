"""What the README shows is what happens."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def transcripts() -> Iterator[tuple[str, list[str]]]:
    """Commands of the console blocks with the lines that should follow; `...` ends a comparison."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, *lines = part.splitlines()
            yield command, lines


@pytest.mark.parametrize(
    ("command", "lines"), list(transcripts()), ids=lambda value: str(value)[:40]
)
def test_transcripts(zigllm: Run, command: str, lines: list[str]) -> None:
    done = zigllm(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    if lines and lines[-1] == "...":
        lines, shown = lines[:-1], shown[: len(lines) - 1]
    assert shown == lines


def test_the_two_commands_stand_alone_in_their_blocks() -> None:
    """CI runs the first two shell blocks as they are."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    assert all(block.count("\n") == 1 and ".venv/bin/pip install" in block for block in blocks)


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
