"""`zigllm perplexity` as a process: results, resuming, parts, comparisons, sentences."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_model import RANDOM

Zigllm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("hear me speak, before we proceed any further. \n" * 300)
    return path


ASKED = ("-m", RANDOM, "-c", "64", "-t", "1")


def result(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    for name in ("tokens_per_second", "model", "size", "bits_per_weight"):
        document.pop(name)
    return document


def test_figures_for_people_and_for_programs(zigllm: Zigllm, text: Path, tmp_path: Path) -> None:
    out, tokens = tmp_path / "out.json", tmp_path / "tokens.npz"
    done = zigllm("perplexity", *ASKED, text, "-o", out, "--per-token", tokens)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    assert document["schema"] == "zigllm.perplexity/1"
    assert f"{document['perplexity']:.4f} ± {document['perplexity_error']:.4f}" in done.stdout
    arrays = np.load(tokens)
    assert np.exp(-arrays["log_prob"].mean()) == pytest.approx(document["perplexity"])
    assert len(arrays["rank"]) == document["tokens_scored"] == 31 * document["chunks"]
    assert arrays["position"][:2].tolist() == [33, 34]
    lines = tmp_path / "tokens.jsonl"
    zigllm("perplexity", *ASKED, "--chunks", "2", "--per-token", lines, "-f", text)
    first = json.loads(lines.read_text().splitlines()[0])
    assert first["token"] == arrays["token"][0]
    assert first["log_prob"] == arrays["log_prob"][0]
    assert set(first) == {"chunk", "position", "token", "log_prob", "rank", "text"}


def test_killed_and_gone_on_with(zigllm: Zigllm, text: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    asked = ["perplexity", *ASKED, str(text), "--base", RANDOM, "--json"]
    whole = result(zigllm(*asked))
    command = [sys.executable, "-m", "zigllm_cli", *asked, "--state", str(state)]
    for lines in (3, 9):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if state.exists() and state.read_bytes().count(b"\n") > lines:
                break
            time.sleep(0.005)
        process.kill()
        process.wait()
    known = state.read_bytes()
    assert result(zigllm(*asked, "--state", state)) == whole
    assert state.read_bytes().startswith(known[: known.rfind(b"\n")])
    assert result(zigllm("perplexity", "--merge", state, "--json")) == whole
    other = zigllm(*asked, "--state", state, "--chunks", "5")
    assert other.returncode == 3
    assert "state of another evaluation: limit differs" in other.stderr
    changed = tmp_path / "changed.txt"
    changed.write_text(text.read_text() + "more")
    assert "text differs" in zigllm(*ASKED_STATE, changed, "--state", state).stderr


ASKED_STATE = ("perplexity", *ASKED, "--base", RANDOM)


def test_parts_of_shards(zigllm: Zigllm, text: Path, tmp_path: Path) -> None:
    whole = result(zigllm("perplexity", *ASKED, text, "--json"))
    parts = [tmp_path / f"part{shard}.json" for shard in (1, 2, 3)]
    for shard, part in enumerate(parts, 1):
        done = zigllm("perplexity", *ASKED, text, "--shard", f"{shard}/3", "-o", part)
        assert done.returncode == 0, done.stderr
    assert result(zigllm("perplexity", "--merge", *parts[::-1], "--json")) == whole
    done = zigllm("perplexity", "--merge", *parts[:2])
    assert done.returncode == 3
    assert "belongs to shard 3/3" in done.stderr


def test_saved_logits_and_windows(zigllm: Zigllm, text: Path, tmp_path: Path) -> None:
    logits = tmp_path / "logits"
    plain = result(zigllm("perplexity", *ASKED, text, "--save-all-logits", logits, "--json"))
    against = result(zigllm("perplexity", *ASKED, "--base", logits, "--json"))
    assert against["perplexity"] == plain["perplexity"]
    assert abs(against["base"]["kld"]) < 1e-5  # type: ignore[index]
    spelt = ("--kl-divergence", "--kl-divergence-base", logits, "--json")
    assert result(zigllm("perplexity", *ASKED, *spelt)) == against
    sliding = result(
        zigllm("perplexity", "-m", RANDOM, text, "--window", "64", "--overlap", "16", "--json")
    )
    assert sliding["windows"] == "windows of 64, overlap 16"
    strided = result(zigllm("perplexity", *ASKED, text, "--ppl-stride", "20", "--json"))
    assert strided["windows"] == "windows of 64, stride 20"


def test_comparison(zigllm: Zigllm, text: Path, tmp_path: Path) -> None:
    second, svg = tmp_path / "second.gguf", tmp_path / "out.svg"
    zigllm("inspect", RANDOM, "--set", "llama.rope.freq_base=11000", "-o", second)
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `plot`)")
    asked = ["perplexity", "--compare", RANDOM, second, text, "-c", "64", "--chunks", "4"]
    done = zigllm(*asked, "--plot", svg, "--dark")
    assert done.returncode == 0, done.stderr
    table = done.stdout.splitlines()
    assert "base" in table[1]
    assert "second" in table[2]
    assert "perplexity" in done.stdout
    assert "<svg" in svg.read_text()
    document = json.loads(zigllm(*asked, "--json").stdout)
    first, other = document["models"]
    assert first["base"]["kld"] == 0 < other["base"]["kld"]


def test_choices(zigllm: Zigllm, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"prompt": "hear", "choices": ["me speak", "we"], "answer": 1}\n' * 3)
    asked = ("perplexity", "-m", RANDOM, "--multiple-choice", tasks, "-t", "1")
    done = zigllm(*asked)
    assert done.returncode == 0, done.stderr
    assert "3 of 3" in done.stdout
    document = json.loads(zigllm(*asked, "--tasks", "2", "--json").stdout)
    assert (document["tasks"], document["chance"]) == (2, 0.5)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["missing.txt"], 3, "cannot read missing.txt"),
        (["TEXT", "-c", "16384"], 3, "need 32768"),
        (["TEXT", "--stride", "9", "--window", "3"], 2, "--stride and --window exclude"),
        (["TEXT", "--overlap", "9"], 2, "--overlap is for --window"),
        (["TEXT", "--kl-divergence"], 2, "name it with --base"),
        (["TEXT", "--plot", "a.png"], 2, "--plot is for --compare"),
        (["TEXT", "--tasks", "3"], 2, "--tasks is for"),
        (["TEXT", "TEXT"], 2, "2 texts"),
        (["TEXT", "--shard", "3/2"], 2, "--shard '3/2'"),
        (["TEXT", "--per-token", "a.csv"], 2, "end in .jsonl or .npz"),
        (["TEXT", "--merge", "--compare"], 2, "exclude each other"),
        (["TEXT", "--state", "TEXT"], 3, "no record"),
        (["TEXT", "--base", "TEXT"], 3, "TEXT"),
        (["TEXT", "--chunks", "0"], 2, "--chunks 0"),
        (["TEXT", "--save-logits", "a", "--stride", "3"], 2, "exclude each other"),
        (["--hellaswag", "TEXT"], 3, "is no number from 0 to 3"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_sentences(zigllm: Zigllm, text: Path, words: list[str], code: int, sentence: str) -> None:
    given = [str(text) if word == "TEXT" else word for word in words]
    done = zigllm("perplexity", *([] if "--merge" in words else ["-m", "builtin"]), *given)
    assert done.returncode == code, done.stderr
    assert sentence.replace("TEXT", str(text)) in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
