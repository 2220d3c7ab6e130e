"""`zigllm generate` and `zigllm warmup` as a user runs them, with a real model of the kit."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
BEGINNING = "Once upon a time"


@pytest.fixture(scope="module")
def model(kit: Path) -> Path:
    return kit / "real" / "stories260K-f32.gguf"


@pytest.fixture(scope="module")
def story(kit: Path) -> str:
    """The greedy continuation of 200 tokens that llama.cpp, llama2.c and transformers agree on."""
    return str(json.loads((kit / "real/greedy.json").read_text())["greedy"]["f32"]["text"])


@pytest.fixture
def greedy(zigllm: Run, model: Path) -> Run:
    def run(*args: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return zigllm("generate", "-m", model, "--temp", "0", *args, **options)

    return run


def test_the_story(greedy: Run, story: str, kit: Path) -> None:
    assert greedy(BEGINNING, "-n", "200").stdout == story
    echoed = greedy(BEGINNING, "-n", "200", "--echo", "-t", "1")
    assert echoed.stdout.encode() == (kit / "real/greedy-f32.txt").read_bytes()


def test_the_same_in_half_precision(zigllm: Run, kit: Path, story: str) -> None:
    file = kit / "real" / "stories260K-F16.gguf"
    args = ("generate", BEGINNING, "-m", file, "--temp", "0", "-n", "200")
    assert zigllm(*args).stdout == story
    assert zigllm(*args, "--no-mmap", "-t", "1").stdout == story


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["portable", "avx2", "avxvnni", "avx512"])
def test_the_same_with_each_instruction_set(greedy: Run, story: str, isa: str) -> None:
    done = greedy(BEGINNING, "-n", "200", env={**os.environ, "ZIGLLM_ISA": isa})
    if done.returncode == 4:
        pytest.skip(done.stderr)
    assert done.stdout == story


def test_prompts_from_everywhere(greedy: Run, story: str, tmp_path: Path) -> None:
    expected = greedy(BEGINNING, "-n", "12").stdout
    assert story.startswith(expected)
    file = tmp_path / "prompt.txt"
    file.write_text(BEGINNING + "\n")
    for args, stdin in (
        (("-f", file), None),
        (("-f", "-"), BEGINNING),
        ((), BEGINNING + "\n"),
        (("-p", BEGINNING), None),
        (("-e", r"Once\x20upon a time"), None),
    ):
        assert greedy("-n", "12", *args, input=stdin).stdout == expected


def test_json(greedy: Run, story: str, kit: Path) -> None:
    done = greedy(BEGINNING, "-n", "200", "--json", "--seed", "5")
    document = json.loads(done.stdout)
    facts = json.loads((kit / "real/greedy.json").read_text())
    assert document["schema"] == "zigllm.generate/1"
    assert document["text"] == story
    assert document["ids"] == facts["greedy"]["f32"]["ids"]
    assert document["prompt_ids"] == facts["prompt_ids"]
    assert (document["finish_reason"], document["seed"]) == ("length", 5)
    timings = document["timings"]
    assert (timings["prefill_tokens"], timings["decode_tokens"]) == (5, 199)
    assert 0 < timings["load"] < timings["first_token"]
    assert timings["decode_rate"] == pytest.approx(199 / timings["decode"])
    assert document["memory"]["weights"] > 1e6
    assert "prompt" not in document
    assert json.loads(greedy("a", "-n", "1", "--json", "--echo").stdout)["prompt"] == "a"


def test_stats(greedy: Run) -> None:
    done = greedy(BEGINNING, "-n", "9", "--stats", "--seed", "77")
    rows = dict(line.split(maxsplit=1) for line in done.stderr.splitlines())
    assert rows["prefill"].startswith("5 tokens in")
    assert rows["decode"].startswith("8 tokens in")
    assert (rows["seed"], rows["finish"]) == ("77", "length")
    assert {"load", "first", "memory", "threads"} <= set(rows)


def test_stop_strings(greedy: Run, story: str) -> None:
    assert greedy(BEGINNING, "--stop", "girl").stdout == story.split("girl")[0]
    two = greedy(BEGINNING, "--stop", "never", "--stop", "park. One")
    assert two.stdout == story.split("park. One")[0]
    assert greedy(BEGINNING, "-e", "--stop", r"\nLily").stdout == story.split("\nLily")[0]


def test_a_seed_repeats(zigllm: Run, model: Path) -> None:
    def text(*args: str) -> str:
        return zigllm("generate", BEGINNING, "-m", model, "-n", "30", *args).stdout

    assert text("--seed", "1") == text("--seed", "1", "-t", "1") != text("--seed", "2")
    assert text() != text("--seed", "-1")


def test_a_full_context_ends_or_shifts(greedy: Run, story: str) -> None:
    done = greedy(BEGINNING, "--ctx", "32", "--json")
    document = json.loads(done.stdout)
    assert document["finish_reason"] == "context"
    assert len(document["ids"]) == 32 - 5 + 1
    shifted = json.loads(
        greedy(
            BEGINNING, "--ctx", "32", "--json", "--context-shift", "--keep", "4", "-n", "99"
        ).stdout
    )
    assert (shifted["finish_reason"], len(shifted["ids"])) == ("length", 99)
    assert shifted["text"].startswith(document["text"])


def test_a_context_beyond_the_training_is_said(greedy: Run) -> None:
    done = greedy(BEGINNING, "-c", "600", "-n", "1")
    assert done.stderr == "a context of 600 is beyond the 512 tokens of the model's training\n"


def test_long_prompts(greedy: Run) -> None:
    long = "One day " * 40
    refused = greedy(long, "-c", "64", "-n", "8")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "tokens, but the context holds 64" in refused.stderr
    for how in ("head", "middle"):
        cut = json.loads(greedy(long, "-c", "64", "-n", "8", "--truncate", how, "--json").stdout)
        assert (len(cut["prompt_ids"]), cut["prompt_ids"][0]) == (56, 1)
        assert cut["finish_reason"] == "length"
    assert "'tail' is unknown" in greedy("a", "--truncate", "tail").stderr


def test_metadata_for_this_run(greedy: Run, story: str) -> None:
    same = greedy(BEGINNING, "-n", "50", "--rope-freq-base", "10000")
    assert story.startswith(same.stdout)
    assert len(same.stdout) > 50
    other = greedy(BEGINNING, "-n", "50", "--rope-scaling", "linear", "--rope-scale", "4")
    assert not story.startswith(other.stdout)
    no_bos = "tokenizer.ggml.add_bos_token=bool:false"
    document = json.loads(greedy("a", "-n", "1", "--json", "--override-kv", no_bos).stdout)
    assert document["prompt_ids"][0] != 1
    epsilon = "llama.attention.layer_norm_rms_epsilon=float:0.5"
    assert not story.startswith(greedy(BEGINNING, "-n", "50", "--override-kv", epsilon).stdout)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("a", "--temp", "nan"), 2, "temperature is nan, but must be a number"),
        (("a", "--top-p", "2"), 2, "top-p is 2, but must be from 0 to 1 (1 is off)"),
        (("a", "--stop", ""), 2, "a stop string is empty"),
        (("a", "--seed", "-2"), 2, "seed is -2"),
        (("a", "--keep", "3"), 2, "give --context-shift too"),
        (("a", "--parallel", "3"), 2, "give them with --prompts"),
        (("a", "--kv-type", "q9"), 2, "q9"),
        (("a", "-p", "b"), 2, "given twice"),
        (("a", "--prompts", "x"), 2, "--prompts has the prompts"),
        (("--prompts", "nowhere.jsonl"), 3, "cannot read nowhere.jsonl: no such file"),
        (("a", "--rope-scaling", "bent"), 2, "use none, linear or yarn"),
        (("a", "--rope-scale", "0"), 2, "--rope-scale is 0, but must be above 0"),
        (("a", "--override-kv", "x"), 2, "is not KEY=TYPE:VALUE"),
    ],
)
def test_mistakes(greedy: Run, args: tuple[str, ...], code: int, message: str) -> None:
    done = greedy(*args)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_many_prompts(greedy: Run, story: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    lines = [
        BEGINNING,
        {"prompt": "One day", "id": "x", "max_tokens": 3},
        "",
        {"prompt": BEGINNING, "id": 7, "stop": ["girl", "boy"]},
        {"prompt": "The", "stop": "."},
    ]
    file.write_text("\n\n".join(json.dumps(line) for line in lines))
    done = greedy("--prompts", file, "--parallel", "3", "-n", "40", "--stats")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result.get("id") for result in results] == [None, "x", None, 7, None]
    assert story.startswith(results[0]["text"])
    assert (len(results[0]["ids"]), results[0]["finish_reason"]) == (40, "length")
    assert len(results[1]["ids"]) == 3
    assert results[3]["text"] == story.split("girl")[0]
    assert (results[3]["finish_reason"], results[3]["prompt_tokens"]) == ("stop", 5)
    for prompt, result in zip(("", "The"), (results[2], results[4]), strict=True):
        stop = ("--stop", ".") if prompt else ()
        assert greedy(prompt, "-n", "40", *stop).stdout == result["text"]
    assert "decode" in done.stderr


def test_many_prompts_with_chance(zigllm: Run, model: Path, tmp_path: Path) -> None:
    """Each text is that of its single run with the same seed."""
    file = tmp_path / "prompts.jsonl"
    prompts = [("One day", 1), ("A cat", 2), ("Once upon a time", 3), ("One day", 4)]
    file.write_text("\n".join(json.dumps({"prompt": p, "seed": s}) for p, s in prompts))
    args = ("generate", "-m", model, "-n", "60", "--temp", "1.2")
    done = zigllm(*args, "--prompts", file, "--parallel", "4")
    texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    single = [zigllm(*args, prompt, "--seed", str(seed)).stdout for prompt, seed in prompts]
    assert texts == single
    assert len(set(texts)) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2: not JSON"),
        ("[1]", "line 2: neither a text nor an object with a 'prompt'"),
        ('{"id": 1}', "line 2: neither"),
        ('{"prompt": 5}', "line 2: prompt is 5, but must be a text"),
        ('{"prompt": "a", "seed": true}', "line 2: seed is True"),
        ('{"prompt": "a", "max_tokens": -1}', "line 2: max_tokens is -1"),
        ('{"prompt": "a", "stop": [""]}', "line 2: stop is ['']"),
        ('{"prompt": "a", "temp": 1}', "line 2: 'temp' is unknown; known are prompt, id"),
    ],
)
def test_bad_lines(greedy: Run, tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('"good"\n' + line)
    done = greedy("--prompts", file)
    assert (done.returncode, done.stdout) == (3, "")
    assert message in done.stderr


def test_ctrl_c_keeps_what_was_written(model: Path) -> None:
    command = [sys.executable, "-m", "zigllm_cli", "generate", "-m", str(model), BEGINNING]
    process = subprocess.Popen(
        [*command, "--context-shift"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout
        assert process.stderr
        first = process.stdout.read(40)
        process.send_signal(signal.SIGINT)
        rest, talk = process.communicate(timeout=60)
        assert process.returncode == 130
    assert len(first) == 40
    assert talk == b""
    (first + rest).decode()


def test_a_terminal_gets_a_line_feed_at_the_end(model: Path) -> None:
    main, secondary = pty.openpty()
    command = [sys.executable, "-m", "zigllm_cli", "generate", "-m", str(model), BEGINNING]
    done = subprocess.run(
        [*command, "-n", "3", "--temp", "0"], stdout=secondary, stderr=subprocess.PIPE, check=True
    )
    os.close(secondary)
    assert os.read(main, 1000) == b", there was\r\n"
    os.close(main)
    assert done.stderr == b""


def test_warmup(zigllm: Run, model: Path) -> None:
    done = zigllm("warmup", "-m", model, timeout=600)
    assert (done.returncode, done.stdout) == (0, "")
    assert "0 of them new" in zigllm("warmup", "-m", model).stderr
