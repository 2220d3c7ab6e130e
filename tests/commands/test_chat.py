"""`zigllm chat` as a process: a turn through a pipe, the prompt it would send, what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from random_model import RANDOM

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TALK = ("chat", "-m", RANDOM, "-n", "8", "--seed", "1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_pipe_is_one_turn(zigllm: Run, home: Path) -> None:
    (home / "note.txt").write_text("a note\n")
    done = zigllm(*TALK, "--stats", "-f", "note.txt", input="hear me\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "\x1b" not in done.stdout
    assert "known from before" in done.stderr
    again = zigllm(*TALK, "--no-save", "-f", "note.txt", input="hear me\n")
    assert again.stdout == done.stdout

    listed = json.loads(zigllm("sessions", "ls", "--json").stdout)["sessions"]
    assert [entry["messages"] for entry in listed] == [2]
    name = listed[0]["id"]
    exported = json.loads(zigllm("sessions", "export", name, "--json").stdout)["messages"]
    assert exported[0] == {"role": "user", "content": "note.txt:\n```\na note\n```\n\nhear me"}
    assert exported[1]["content"].strip() == done.stdout.strip()

    done = zigllm(*TALK, "--resume", name[:8], input="and now")
    assert done.returncode == 0, done.stderr
    done = zigllm("sessions")
    assert done.stdout.splitlines()[1].split()[:3] == [name, "4", "random.gguf"]
    assert "## You\n\nand now" in zigllm("sessions", "show", name).stdout
    done = zigllm("sessions", "export", name, "-o", "talk.md")
    assert (home / "talk.md").read_text().count("## Model") == 2
    assert zigllm("sessions", "rm", name).returncode == 0
    assert zigllm("sessions", "rm", name).returncode == 2
    assert "no conversations are kept yet" in zigllm("sessions").stderr


def test_the_engines_memory_is_kept(zigllm: Run) -> None:
    done = zigllm(*TALK, "--keep-kv", input="Before we proceed any further, hear me speak.")
    assert done.returncode == 0, done.stderr
    saved = json.loads(zigllm("sessions", "ls", "--json").stdout)["sessions"][0]
    assert saved["kv_bytes"] > 1000
    done = zigllm(*TALK, "-C", "--keep-kv", "--stats", input="And?")
    assert "tokens are known from" in done.stderr
    assert " 0 known from before" not in done.stderr
    done = zigllm(*TALK, "-C", "--kv-type", "q8_0", input="And?")
    assert done.returncode == 0
    assert "the kept state is not used" in done.stderr


def test_render(zigllm: Run, home: Path) -> None:
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "x</s>"}]
    (home / "m.json").write_text(json.dumps(messages))
    done = zigllm("chat", "-m", RANDOM, "--template", "zephyr", "--render", "m.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "<|system|>\nS</s>\n<|user|>\nx</s></s>\n<|assistant|>\n"
    assert "3 of them special" in done.stderr  # BOS, and the template's own two
    done = zigllm(
        *("chat", "-m", RANDOM, "--template", "chatml", "--render", "-", "--json"),
        input=json.dumps({"messages": messages}),
    )
    document = json.loads(done.stdout)
    assert document["schema"] == "zigllm.render/1"
    assert document["tokens"] == len(document["ids"])
    spans = [document["text"][a:b] for a, b in document["content"]]
    assert spans == ["system", "S", "user", "x</s>"]
    done = zigllm(
        *("chat", "-m", RANDOM, "--render", "m.json"),
        *("--template", "{{ raise_exception('no') }}"),
    )
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1] == (
        "zigllm: the chat template refuses this conversation: no"
    )


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--think", "loud"), 2, "--think is show, hide or off"),
        (("-C", "--resume", "x"), 2, "give one"),
        (("--keep-kv", "--no-save"), 2, "leave one out"),
        (("--json",), 2, "--json is for --render"),
        (("-C",), 2, "no conversation to go on with yet"),
        (("--resume", "x"), 2, "no conversation by the name of 'x'"),
        (("--template", "nope"), 2, "template 'nope' is no file"),
        (("--render", "nowhere.json"), 3, "cannot read nowhere.json"),
        (("-f", "nowhere.txt"), 3, "cannot read nowhere.txt"),
        ((), 2, "standard input is empty"),
    ],
)
def test_what_makes_no_sense(zigllm: Run, args: tuple[str, ...], code: int, message: str) -> None:
    done = zigllm("chat", "-m", RANDOM, *args, input="" if not args else "x")
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
