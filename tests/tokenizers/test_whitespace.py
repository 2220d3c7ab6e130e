"""Lower-cased words between blanks, then byte-pair encoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zigllm_cli.tokenizers import Tokenizer

NORMAL = 1
TOKENS = [*(chr(c) for c in range(0x21, 0x7F)), "Ġ", "Ã", "©", "ab", "abc"]
MERGES = ["a b", "ab c"]


@pytest.fixture(scope="module")
def make(tiny: Callable[..., Tokenizer]) -> Callable[..., Tokenizer]:
    rows = [(text, NORMAL, 0.0) for text in TOKENS]
    return lambda **values: tiny("whitespace", rows, **{"merges": MERGES, "pre": "gpt-2", **values})


def texts_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [TOKENS[token] for token in tokenizer.encode(text, add_special=False)]


def test_blanks_vanish_and_nothing_merges_across(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make()
    assert texts_of(tokenizer, " abc\t\nAB\u3000c\u2028 é") == ["abc", "ab", "c", "Ã", "©"]
    assert texts_of(tokenizer, " \n\x85") == []
    assert texts_of(tokenizer, "a\x1cb") == ["a", "b"]  # no blank: a byte without a token
    assert not tokenizer.lossless


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["abc"]),
        ({"normalizer__lowercase": False}, ["A", "B", "C"]),
        ({"pre": "whitespace"}, ["A", "B", "C"]),
        ({"pre": "whitespace", "normalizer__lowercase": True}, ["abc"]),
    ],
)
def test_lower_case_is_a_matter_of_the_file(
    make: Callable[..., Tokenizer], values: dict[str, Any], expected: list[str]
) -> None:
    assert texts_of(make(**values), "ABC") == expected


def test_explanation_follows_the_words(make: Callable[..., Tokenizer]) -> None:
    entries = make().explain("ABC ab")
    assert [entry.text for entry in entries] == ["abc", "ab"]


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "values", [{}, {"pre": "whitespace"}, {"normalizer__lowercase": False}, {"pre": "gemma4"}]
)
def test_against_llama_cpp(
    vocabulary_file: Callable[..., Path],
    vocabularies: ModuleType,
    agree: Callable[..., None],
    seed: int,
    values: dict[str, Any],
) -> None:
    agree(vocabulary_file("whitespace", seed, **values), vocabularies.texts(seed, 150))
