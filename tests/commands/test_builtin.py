"""The model that comes with the tool: what it is, that every command takes it, and what it says."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.catalog import resolve

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SAID = "no model given: using builtin\n"
PACKAGE = Path(zigllm_cli.__file__).parent


@pytest.fixture(scope="module")
def model() -> Any:
    return zigllm_cli.load("builtin", threads=2)


def test_it_is_small() -> None:
    assert resolve("builtin").stat().st_size <= 4_000_000
    files = [path for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 8_000_000


def test_it_says_what_it_is(model: Any) -> None:
    metadata = model.file.metadata
    assert metadata["general.architecture"] == "llama"
    assert metadata["general.license"] == "mit"
    assert "zigllm train" in metadata["general.description"]
    assert "<|im_start|>" in metadata["tokenizer.chat_template"]
    assert metadata["llama.context_length"] == 512
    assert all(extent % 256 == 0 for extent in (metadata["llama.embedding_length"], 512))


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (("generate", "Once", "-n", "2"), None),
        (("chat", "-n", "2", "--no-save"), "Hello"),
        (("perplexity", "TEXT", "-c", "32"), None),
        (("embed", "a cat"), None),
        (("tokenize", "a cat"), None),
        (("inspect",), None),
        (("bench", "-p", "8", "-n", "2", "-r", "1"), None),
    ],
    ids=lambda value: value[0] if value else "",
)
def test_commands_use_it_and_say_so(
    zigllm: Run, tmp_path: Path, command: tuple[str, ...], given: str | None
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a fox. " * 30)
    done = zigllm(*(str(text) if word == "TEXT" else word for word in command), input=given)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(SAID) == 1
    assert done.stdout.strip()


@pytest.mark.parametrize("command", ["quantize"])
def test_others_take_it_by_name_only(zigllm: Run, tmp_path: Path, command: str) -> None:
    assert zigllm(command).returncode == 2
    done = zigllm(command, "builtin", tmp_path / "b.gguf", "Q4_0", "--allow-requantize")
    assert done.returncode == 0, done.stderr
    assert SAID not in done.stderr


SOURCES = Path(__file__).parents[2] / "scripts" / "builtin"


def load_judge() -> Any:
    """`scripts/builtin/judge.py`, which is a script beside others and in no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SOURCES))
        return SimpleNamespace(**runpy.run_path(str(SOURCES / "judge.py")))


judge = load_judge()


@pytest.mark.parametrize("seed", range(8))
def test_it_tells_stories(model: Any, seed: int) -> None:
    """As long as stories are, with an end, in words that stories are made of, about two people."""
    text = judge.story(model, seed)
    assert text.rstrip().endswith((".", "!", '"')), text
    assert 300 < len(text) < 2000, text
    words = re.findall(r"[a-z]+", text)
    assert len(words) > 60
    assert sum(word in known_words() for word in words) >= 0.97 * len(words), text
    assert not judge.confusion(text), text


ASKED = [("fox",), ("dragon",), ("robot",), ("owl",), ("cat",), ("pirate",), *judge.PAIRS[:6]]


@pytest.mark.parametrize("kinds", ASKED, ids=" and ".join)
def test_it_tells_the_story_that_was_asked_for(model: Any, kinds: tuple[str, ...]) -> None:
    text = judge.asked_story(model, *kinds)
    assert not judge.confusion(text, *kinds), text


def test_it_remembers_its_story(model: Any) -> None:
    asked = ("Tell me a story about a fox.", "Who was the hero?")
    assert re.search("fox.*Tilda|Tilda.*fox", judge.answer(model, *asked))


@cache
def known_words() -> set[str]:
    """Lower-case words of the texts that the model has learned from."""
    return set(re.findall(r"[a-z]+", " ".join(p.read_text("utf-8") for p in SOURCES.glob("*.py"))))


MISTAKES = {"What day comes after Monday?"}
"""What it does not know, of all that the judge asks."""


@pytest.mark.parametrize("question", [ask for ask in judge.ANSWERS if ask not in MISTAKES])
def test_it_answers(model: Any, question: str) -> None:
    assert not judge.mistake(model, question)


def test_a_chat_through_a_pipe(zigllm: Run) -> None:
    done = zigllm("chat", "--no-save", "--temp", "0", input="How can I quantize a model?\n")
    assert "zigllm quantize" in done.stdout


@pytest.mark.oracle
def test_llama_cpp_agrees(model: Any) -> None:
    """The same tokens, and logits as near as two ways to round activations allow."""
    import llama_cpp

    text = "<|im_start|>user\nTell me a story about a fox.<|im_end|>\n<|im_start|>assistant\n"
    theirs = llama_cpp.Llama(str(resolve("builtin")), n_ctx=512, logits_all=True, verbose=False)
    ids = model.tokenizer.encode(text, add_special=False, parse_special=True)
    assert ids == theirs.tokenize(text.encode(), add_bos=False, special=True)
    ids += model.tokenizer.encode("Once upon a time there was a fox called Pip.", add_special=False)
    theirs.eval(ids)
    expected = np.array(theirs.scores[: len(ids)], np.float64)
    found = model.logits(ids).astype(np.float64)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert json.dumps(theirs.metadata["tokenizer.chat_template"])
