"""Same seed, same bytes: on any number of threads, and after kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from zigllm_cli.train.network import shards

Run = Callable[..., CompletedProcess[str]]

OPTIONS = (
    *("--recipe", "llama", "--vocab", "characters", "--layers", "2", "--width", "32"),
    *("--heads", "4", "--ctx", "32", "--batch", "16", "--steps", "60", "--warmup", "5"),
    *("--evaluate-every", "10", "--dropout", "0.1", "--accumulate", "2", "--name", "same"),
)


def test_threads_do_not_change_the_bytes(text: Path, tmp_path: Path, zigllm: Run) -> None:
    found = []
    for threads in ("1", "2", "3"):
        output = tmp_path / f"{threads}.gguf"
        options = (*OPTIONS, "--steps", "10", "--threads", threads)
        done = zigllm("train", text, "-o", output, *options)
        assert done.returncode == 0, done.stderr
        found.append(output.read_bytes())
    assert found[0] == found[1] == found[2]


def test_a_killed_run_ends_in_the_same_bytes(text: Path, tmp_path: Path, zigllm: Run) -> None:
    whole, killed = tmp_path / "whole.gguf", tmp_path / "killed.gguf"
    assert zigllm("train", text, "-o", whole, *OPTIONS).returncode == 0

    command = [sys.executable, "-m", "zigllm_cli", "train", str(text), "-o", str(killed)]
    process = subprocess.Popen(
        [*command, *OPTIONS, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("step", 0) == 33:
            process.kill()
            break
    process.communicate()
    checkpoint = killed.with_name("killed.gguf.checkpoint")
    assert checkpoint.exists()
    assert not killed.exists()

    refused = zigllm("train", text, "-o", killed, *OPTIONS)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    other = zigllm("train", text, "-o", killed, *OPTIONS, "--lr", "0.002", "--resume")
    assert other.returncode == 2
    assert "learning_rate 0.001, not 0.002" in other.stderr

    done = zigllm("train", text, "-o", killed, *OPTIONS, "--resume")
    assert done.returncode == 0, done.stderr
    assert "going on behind step" in done.stderr
    assert killed.read_bytes() == whole.read_bytes()
    assert not checkpoint.exists()


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(text: Path, tmp_path: Path, zigllm: Run) -> None:
    output = tmp_path / "model.gguf"
    command = [sys.executable, "-m", "zigllm_cli", "train", str(text), "-o", str(output)]
    process = subprocess.Popen(
        [*command, *OPTIONS, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("step", 0) == 3:
            process.send_signal(signal.SIGINT)
            break
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume goes on" in talk
    done = zigllm("train", text, "-o", output, *OPTIONS, "--resume")
    assert done.returncode == 0, done.stderr
    assert "going on behind step" in done.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY\x01\x00"])
def test_a_damaged_checkpoint_is_a_sentence(
    content: bytes, text: Path, tmp_path: Path, zigllm: Run
) -> None:
    output = tmp_path / "model.gguf"
    output.with_name("model.gguf.checkpoint").write_bytes(content)
    done = zigllm("train", text, "-o", output, *OPTIONS, "--resume")
    assert done.returncode == 3
    assert "is no checkpoint of a training" in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_shards_cover_the_batch_in_order() -> None:
    for batch in (1, 2, 3, 7, 12, 64, 1000):
        for length in (1, 10, 64, 1024):
            cuts = shards(batch, length)
            rows = np.concatenate([np.arange(batch)[cut] for cut in cuts])
            assert rows.tolist() == [*range(batch)]
            sizes = [cut.stop - cut.start for cut in cuts]
            assert max(sizes) - min(sizes) <= 1
