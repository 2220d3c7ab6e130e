"""`zigllm chat` as a process: the prompt it would send, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_render(zigllm: Run, home: Path) -> None:
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "x</s>"}]
    (home / "m.json").write_text(json.dumps(messages))
    done = zigllm("chat", "-m", "builtin", "--template", "zephyr", "--render", "m.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "<|system|>\nS</s>\n<|user|>\nx</s></s>\n<|assistant|>\n"
    assert "3 of them special" in done.stderr  # BOS, and the template's own two
    done = zigllm(
        *("chat", "-m", "builtin", "--template", "chatml", "--render", "-", "--json"),
        input=json.dumps({"messages": messages}),
    )
    document = json.loads(done.stdout)
    assert document["schema"] == "zigllm.render/1"
    assert document["tokens"] == len(document["ids"])
    spans = [document["text"][a:b] for a, b in document["content"]]
    assert spans == ["system", "S", "user", "x</s>"]
    done = zigllm(
        *("chat", "-m", "builtin", "--render", "m.json"),
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
    done = zigllm("chat", "-m", "builtin", *args, input="" if not args else "x")
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
