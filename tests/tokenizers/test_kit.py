"""Every reference tokenisation of the kit: llama.cpp's own vocabularies, ids and answers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random

import pytest

import zigllm_cli
from zigllm_cli.tokenizers import Tokenizer

NAMES = (
    *("bert-bge", "command-r", "deepseek-coder", "falcon", "gpt-2", "llama-bpe"),
    *("llama-spm", "mpt", "phi-3", "qwen2", "refact", "starcoder"),
)
LOSSY = ("bert-bge",)
SEPARATOR = "\n__ggml_vocab_test__\n"


@cache
def tokenizer_of(path: Path) -> Tokenizer:
    return zigllm_cli.load(path).tokenizer


def vocab(kit: Path, name: str) -> Path:
    return kit / "vocab" / f"ggml-vocab-{name}.gguf"


def texts(kit: Path, name: str) -> list[str]:
    path = vocab(kit, name).with_suffix(".gguf.inp")
    return path.read_bytes().decode("utf-8").split(SEPARATOR)


@pytest.mark.parametrize("name", NAMES)
def test_ids_of_llama_cpp_test_texts(kit: Path, name: str) -> None:
    tokenizer = tokenizer_of(vocab(kit, name))
    lines = vocab(kit, name).with_suffix(".gguf.out").read_text().split("\n")
    for text, line in zip(texts(kit, name), lines, strict=False):
        assert tokenizer.encode(text, add_special=False) == [*map(int, line.split())], text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("column", "add_special", "parse_special"),
    [
        ("plain", False, False),
        ("add_special", True, False),
        ("add_special_parse_special", True, True),
    ],
)
def test_ids_of_extra_texts(
    kit: Path, name: str, column: str, add_special: bool, parse_special: bool
) -> None:
    extra = json.loads((kit / "vocab" / "extra.json").read_text("utf-8"))
    tokenizer = tokenizer_of(vocab(kit, name))
    for text, ids in zip(extra["texts"], extra["vocabs"][name][column], strict=True):
        found = tokenizer.encode(text, add_special=add_special, parse_special=parse_special)
        assert found == ids, text


@pytest.mark.parametrize("name", ["story.txt", "wikitext2-test-32k.txt"])
def test_ids_of_whole_texts(kit: Path, name: str) -> None:
    """The real text is cut at 32768 bytes, perhaps in the middle of a character."""
    text = (kit / "real" / name).read_bytes().decode("utf-8", "surrogateescape")
    ids = json.loads((kit / "real" / "token_ids.json").read_text())[name]
    assert tokenizer_of(kit / "real" / "stories260K-f32.gguf").encode(text) == ids


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOSSY])
def test_decode_gives_the_text_back(kit: Path, name: str) -> None:
    tokenizer = tokenizer_of(vocab(kit, name))
    assert tokenizer.lossless
    extra = json.loads((kit / "vocab" / "extra.json").read_text("utf-8"))
    for text in [*texts(kit, name), *extra["texts"]]:
        if "\u2581" in text and name in ("llama-spm", "phi-3"):
            continue  # SentencePiece cannot tell its own sign from a space
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text


@pytest.mark.parametrize("name", NAMES)
def test_random_ids_decode_to_valid_text(kit: Path, name: str) -> None:
    tokenizer = tokenizer_of(vocab(kit, name))
    random = Random(name)
    for _ in range(200):
        ids = random.choices(range(len(tokenizer)), k=random.randrange(40))
        for render_special in (False, True):
            text = tokenizer.decode(ids, render_special=render_special)
            text.encode("utf-8")  # no lone surrogates
            stream = tokenizer.stream(render_special=render_special)
            pieces = [stream.push(token) for token in ids]
            assert "".join(pieces) + stream.close() == text


@pytest.mark.parametrize("name", ["llama-spm", "gpt-2", "qwen2", "llama-bpe", "falcon"])
def test_a_whole_text_is_encoded_and_decoded(kit: Path, name: str) -> None:
    text = (kit / "text" / "wikitext2-valid.txt").read_text("utf-8")[:200_000]
    tokenizer = tokenizer_of(vocab(kit, name))
    assert tokenizer.decode(tokenizer.encode(text)) == text
