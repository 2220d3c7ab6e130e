"""A real Ray cluster on this machine, and what happens when a worker is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from random_model import RANDOM

from zigllm_cli.errors import UsageError, ZigllmError

pytestmark = [pytest.mark.extra, pytest.mark.slow]

ray = pytest.importorskip("ray", reason="ray is not installed (extra `ray`)")


def descendants(root: int) -> Iterator[int]:
    """Processes that a process started, and those that these started."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children.get(process, [])


def worker_of(root: int) -> int | None:
    """One of the actors at work below a process."""
    for process in descendants(root):
        try:
            name = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::_Worker"):
            return process
    return None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers through /proc")
def test_perplexity_with_a_killed_worker(
    zigllm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    text, state = tmp_path / "text.txt", tmp_path / "state"
    text.write_text("hear me speak, before we proceed any further. \n" * 600)
    asked = ["-m", RANDOM, str(text), "-c", "64", "-t", "1", "--json"]
    alone = json.loads(zigllm("perplexity", *asked).stdout)
    command = [sys.executable, "-m", "zigllm_cli", "perplexity", *asked, "--state", str(state)]
    command += ["--ray", "local", "--workers", "2"]
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        killed = None
        while process.poll() is None and killed is None:
            time.sleep(0.02)
            if state.exists() and state.read_bytes().count(b"\n") > 5:
                killed = worker_of(process.pid)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        assert process.wait(300) == 0, (tmp_path / "err").read_text()
    assert "a worker was lost" in (tmp_path / "err").read_text()
    spread = json.loads((tmp_path / "out").read_text())
    del alone["tokens_per_second"], spread["tokens_per_second"]
    assert spread == alone


def test_prompts_as_on_one_machine(
    zigllm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    lines = [{"prompt": "hear me " * n, "id": n, "seed": n, "max_tokens": 5 + n} for n in range(9)]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = ["generate", "-m", RANDOM, "--prompts", prompts, "-t", "1", "--regex", "[a-z ,]*"]
    alone = zigllm(*asked, "--parallel", "1")
    spread = zigllm(*asked, "--ray", "local", "--workers", "2")
    assert spread.returncode == alone.returncode == 0, spread.stderr
    assert spread.stdout == alone.stdout
    assert [json.loads(line)["id"] for line in spread.stdout.splitlines()] == list(range(9))
    assert zigllm("generate", "-m", RANDOM, "hi", "--ray", "local").returncode == 2


def test_errors_of_workers_arrive() -> None:
    from zigllm_cli.cluster import Cluster, spread

    def refuse(threads: int) -> Callable[[int], int]:
        """A worker that cannot begin; inside, so that it is sent whole and not by name."""
        raise UsageError("no such thing")

    with pytest.raises(ZigllmError, match="no such thing"):
        list(spread(Cluster("local", workers=1), refuse, [1, 2]))
    with pytest.raises(UsageError, match="no Ray cluster"):
        list(spread(Cluster("127.0.0.1:1"), refuse, [1]))
