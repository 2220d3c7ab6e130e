"""The model that comes with the tool: what it is, that every command takes it, and what it says."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
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
STORY = "Once upon a time"


@pytest.mark.parametrize("seed", range(8))
def test_it_tells_stories(model: Any, seed: int) -> None:
    """As long as stories are, with an end, in words that stories are made of, about two people."""
    text = STORY + "".join(model.generate(STORY, max_tokens=400, seed=seed))
    assert text.rstrip().endswith((".", "!", '"')), text
    assert 300 < len(text) < 2000, text
    words = re.findall(r"[a-z]+", text)
    assert len(words) > 60
    assert sum(word in known_words() for word in words) >= 0.97 * len(words), text
    assert not confusion(text), text


@pytest.mark.parametrize("kind", ["fox", "dragon", "robot", "owl", "cat", "pirate"])
def test_it_tells_the_story_that_was_asked_for(model: Any, kind: str) -> None:
    text = answer(model, f"Tell me a story about a {kind}.")
    assert not confusion(text), text
    assert village()[kind] in names(text), text


def test_it_remembers_its_story(model: Any) -> None:
    asked = ("Tell me a story about a fox.", "Who was the hero?")
    assert re.search("fox.*Tilda|Tilda.*fox", answer(model, *asked))


@cache
def known_words() -> set[str]:
    """Lower-case words of the texts that the model has learned from."""
    return set(re.findall(r"[a-z]+", " ".join(p.read_text("utf-8") for p in SOURCES.glob("*.py"))))


@cache
def village() -> dict[str, str]:
    """The names of those whom stories are about, by their kind: a fox is called Tilda."""
    return {one.kind: one.name for one in runpy.run_path(str(SOURCES / "cast.py"))["VILLAGE"]}


def names(text: str) -> set[str]:
    return set(re.findall(r"[A-Z][a-z]+", text)) & set(village().values())


def confusion(text: str) -> str:
    """What is wrong with the people of a story: too many, or somebody is what another one is."""
    if len(names(text)) != 2:
        return f"about {len(names(text))} people"
    called = re.findall(r"([A-Z][a-z]+) the ([a-z]+)", text)
    called += [(name, kind) for kind, name in re.findall(r"([a-z]+) (?:called|named) (\w+)", text)]
    wrong = [(name, kind) for name, kind in called if kind in village() and village()[kind] != name]
    return " ".join(f"{name} the {kind}" for name, kind in wrong)


ANSWERS = {
    "Who are you?": "builtin|tiny|model",
    "Who is Pip?": "mouse.*under an old oak tree",
    "Where does Luna live?": "in a house with a round window",
    "What is the fox called?": "Tilda",
    "What is the opposite of hot?": "cold",
    "What is GGUF?": "file|format",
    "How do I quantize a model?": "zigllm quantize",
    "How can I chat with a model?": "zigllm chat",
    "Thank you!": "welcome|pleasure|gladly",
    "Good night!": "night",
    "What is the capital of France?": "not know|never learned",
    "Tell me a story about a camel.": "know nobody like that|Nobody like that lives",
}


def answer(model: Any, *turns: str) -> str:
    """What it says to the last of these turns, taking the likeliest tokens."""
    prompt, said = "", ""
    for turn in turns:
        prompt += f"<|im_start|>user\n{turn}<|im_end|>\n<|im_start|>assistant\n"
        ids = model.tokenizer.encode(prompt, add_special=False, parse_special=True)
        said = "".join(model.generate(ids, max_tokens=330, temperature=0.0))
        prompt += f"{said}<|im_end|>\n"
    return said


@pytest.mark.parametrize(("question", "expected"), ANSWERS.items())
def test_it_answers(model: Any, question: str, expected: str) -> None:
    assert re.search(expected, answer(model, question), re.IGNORECASE), answer(model, question)


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
