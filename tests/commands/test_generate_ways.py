"""Ways to a text beside sampling, forms that it must have, and watching: as a user runs them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from random_model import RANDOM

Run = Callable[..., "subprocess.CompletedProcess[str]"]
BEGINNING = "Once upon a time"


@pytest.fixture
def generate(zigllm: Run, kit: Path) -> Run:
    def run(*args: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        model = kit / "real" / "stories260K-f32.gguf"
        return zigllm("generate", "-m", model, *args, **options)

    return run


def test_forms(generate: Run, tmp_path: Path) -> None:
    grammar = tmp_path / "g.gbnf"
    grammar.write_text('root ::= "a" [0-9]{2} ("!" | "?")')
    schema = tmp_path / "s.json"
    schema.write_text('{"type": "array", "items": {"type": "boolean"}, "maxItems": 2}')
    for args, pattern in (
        (("--grammar", grammar), r"a\d\d[!?]"),
        (("--json-schema", schema), r"\[[\s,truefals]*\]"),
        (("--regex", "x{3}y?"), r"xxxy?"),
        (("--choice", "yes", "--choice", "no"), r"yes|no"),
    ):
        done = generate(BEGINNING, "-n", "40", "--seed", "1", *args)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(pattern, done.stdout)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--regex", "a", "--choice", "b"), 2, "--regex and --choice are given"),
        (("--regex", "("), 2, "the regular expression '(' cannot be used"),
        (("--grammar", "/none"), 3, "cannot read /none: no such file"),
        (("--beams", "2", "--trace"), 2, "--beams and --trace cannot be used together"),
        (("--draft-ngram", "--draft", "x"), 2, "--draft and --draft-ngram cannot be"),
        (("--beams", "2", "--choice", "x"), 2, "--beams goes with no constraint"),
        (("--draft", RANDOM), 2, "random.gguf cannot draft for this model"),
        (("--session", "/none/x"), 2, "there is no such folder"),
        (("--preset", "wild"), 2, "preset 'wild' is unknown"),
        (("--typical", "2"), 2, "typical is 2, but must be from 0 to 1"),
        (("--logit-bias", "9999+1"), 2, "no token 9999"),
        (("--choice", "x", "-l", "x=-inf", "--temp", "0"), 7, "every candidate is excluded"),
    ],
)
def test_what_is_refused(generate: Run, args: tuple[str, ...], code: int, message: str) -> None:
    done = generate(BEGINNING, "-n", "5", *args)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_guesses_change_nothing(generate: Run, kit: Path) -> None:
    plain = generate(BEGINNING, "-n", "60", "--temp", "0").stdout
    small = kit / "real" / "stories260K-Q8_0.gguf"
    for way in (("--draft-ngram",), ("--draft", small)):
        done = generate(BEGINNING, "-n", "60", "--temp", "0", "--stats", *way)
        assert done.stdout == plain
        assert re.search(r"drafted +\d+ of \d+ guesses came true, \d+%", done.stderr)


def test_searches(generate: Run) -> None:
    document = json.loads(generate(BEGINNING, "-n", "12", "--beams", "3", "--json").stdout)
    assert len(document["beams"]) == 3
    assert document["text"] == document["beams"][0]["text"]
    scores = [beam["score"] for beam in document["beams"]]
    assert scores == sorted(scores, reverse=True)
    greedy = generate(BEGINNING, "-n", "12", "--temp", "0").stdout
    assert generate(BEGINNING, "-n", "12", "--contrastive-alpha", "0").stdout == greedy
    assert generate(BEGINNING, "-n", "12", "--beams", "1").stdout == greedy


def test_samples(generate: Run) -> None:
    args = (BEGINNING, "-n", "15", "--temp", "1.2")
    single = [generate(*args, "--seed", seed).stdout for seed in ("5", "6", "7")]
    document = json.loads(generate(*args, "--seed", "5", "--n-samples", "3", "--json").stdout)
    assert [sample["text"] for sample in document["samples"]] == single
    assert [sample["seed"] for sample in document["samples"]] == [5, 6, 7]
    shown = generate(*args, "--seed", "5", "--n-samples", "3").stdout
    assert shown == "".join(
        f"--- {n + 1} of 3, seed {5 + n}\n{text}\n" for n, text in enumerate(single)
    )


def test_logprobs(generate: Run) -> None:
    args = (BEGINNING, "-n", "4", "--temp", "0", "--logprobs", "2")
    document = json.loads(generate(*args, "--json").stdout)
    entries = document["logprobs"]
    assert [entry["id"] for entry in entries] == document["ids"]
    for entry in entries:
        assert len(entry["top"]) == 2
        assert entry["top"][0]["id"] == entry["id"]
        assert 0 > entry["logprob"] == entry["top"][0]["logprob"] > entry["top"][1]["logprob"]
    lines = generate(*args).stderr.splitlines()
    assert len(lines) == 4
    assert lines[0].lstrip().startswith(f"{entries[0]['logprob']:.3f}")


def test_traces(generate: Run) -> None:
    args = (BEGINNING, "-n", "3", "--seed", "2")
    plain = generate(*args).stdout
    done = generate(*args, "--trace")
    assert done.stdout == plain
    assert done.stderr.count("entropy") == 3
    for word in ("step 1", "model", "top_k", "temperature", "chose"):
        assert word in done.stderr
    lines = [json.loads(line) for line in generate(*args, "--trace-json").stdout.splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert "".join(line["chosen"]["text"] for line in lines) == plain
    stages = lines[0]["stages"]
    assert [stage["name"] for stage in stages] == [
        "model",
        "top_k",
        "top_p",
        "min_p",
        "temperature",
    ]
    assert stages[0]["candidates"] == 512
    assert stages[0]["top"][0]["p"] > 0


@pytest.mark.parametrize("sampling", [("--temp", "0"), ("--seed", "7", "--temp", "1.2")])
def test_a_session_goes_on_as_if_never_stopped(
    generate: Run, tmp_path: Path, sampling: tuple[str, ...]
) -> None:
    whole = generate(BEGINNING, "-n", "60", *sampling).stdout
    kept = ("--session", tmp_path / "s", *sampling)
    text = generate(BEGINNING, "-n", "25", *kept).stdout
    resumed = generate("", "-n", "35", *kept, "--stats")
    assert text + resumed.stdout == whole
    assert "prefill     1 tokens" in resumed.stderr
    other = generate(BEGINNING + whole[:20], "-n", "5", *kept, "--json")
    document = json.loads(other.stdout)
    assert document["timings"]["prefill_tokens"] < len(document["prompt_ids"])


def test_a_damaged_session_is_refused_and_kept(generate: Run, tmp_path: Path) -> None:
    file = tmp_path / "s"
    generate(BEGINNING, "-n", "5", "--session", file)
    cut = file.read_bytes()[:-7]
    file.write_bytes(cut)
    done = generate("", "-n", "5", "--session", file)
    assert done.returncode == 3
    assert "truncated or damaged" in done.stderr
    assert file.read_bytes() == cut
    done = generate("", "-n", "5", "--session", file, "-m", RANDOM)
    assert done.returncode == 3
