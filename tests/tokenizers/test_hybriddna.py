"""Byte-pair encoding with 6-mers of DNA."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from zigllm_cli.tokenizers import Tokenizer

NORMAL = 1
MARK = "\ue000"
TOKENS = [
    *(chr(c) for c in range(0x21, 0x7F)),
    *("Ġ", "AC", "ACGTAC", "<dna>", "</dna>", "<oov>", "ACGTAC" + MARK, "CCAAAA" + MARK, MARK),
]
IDS = {text: i for i, text in enumerate(TOKENS)}
KNOWN, FILLED, OTHER = IDS["ACGTAC" + MARK], IDS["CCAAAA" + MARK], IDS["<oov>"]
OPEN, CLOSE = IDS["<dna>"], IDS["</dna>"]


@pytest.fixture(scope="module")
def make(tiny: Callable[..., Tokenizer]) -> Callable[[list[str]], Tokenizer]:
    return lambda tokens: tiny(
        "hybriddna", [(text, NORMAL, 0.0) for text in tokens], merges=["A C"], pre="gpt-2"
    )


@pytest.fixture(scope="module")
def tokenizer(make: Callable[[list[str]], Tokenizer]) -> Tokenizer:
    return make(TOKENS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<dna>ACGTAC</dna>", [OPEN, KNOWN, CLOSE]),
        ("<dna>acgtacCC</dna>", [OPEN, KNOWN, FILLED, CLOSE]),
        ("AC<dna>ACGTACNNNNNNA", [IDS["AC"], OPEN, KNOWN, OTHER, OTHER]),
        ("<dna></dna>AC", [OPEN, CLOSE, IDS["AC"]]),
        ("<dna>", [OPEN]),
        ("<dna>é\n<dna></dna>", [OPEN, OTHER, OTHER, CLOSE]),  # three characters: eight bytes
        ("</dna>", [IDS[c] for c in "</dna>"]),
        ("ACGTAC", [IDS[c] for c in ("AC", "G", "T", "AC")]),
    ],
)
def test_ids(tokenizer: Tokenizer, text: str, expected: list[int]) -> None:
    assert tokenizer.encode(text, add_special=False) == expected


def test_six_mers_print_without_their_mark(tokenizer: Tokenizer) -> None:
    assert tokenizer.piece(KNOWN) == b"ACGTAC"
    assert tokenizer.piece(IDS["ACGTAC"]) == b"ACGTAC"
    assert tokenizer.piece(IDS[MARK]) == MARK.encode()
    assert tokenizer.decode(tokenizer.encode("A <dna>acgtac</dna>")) == "A <dna>ACGTAC</dna>"
    assert not tokenizer.lossless


def test_without_its_tags_it_is_plain_byte_pair_encoding(
    make: Callable[[list[str]], Tokenizer],
) -> None:
    tokens = [text for text in TOKENS if text != "<oov>"]
    ids = make(tokens).encode("<dna>AC", add_special=False)
    assert [tokens[token] for token in ids] == ["<", "d", "n", "a", ">", "AC"]


def test_explanation_keeps_a_strand_together(tokenizer: Tokenizer) -> None:
    entries = tokenizer.explain("AC<dna>ACGTAC</dna>")
    assert [(entry.text, entry.ids) for entry in entries] == [
        ("AC", [IDS["AC"]]),
        ("<dna>ACGTAC</dna>", [OPEN, KNOWN, CLOSE]),
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(3))
def test_against_llama_cpp(
    vocabulary_file: Callable[..., Path],
    vocabularies: ModuleType,
    agree: Callable[..., None],
    seed: int,
) -> None:
    rng = random.Random(seed)
    blocks = [
        "<dna>",
        "</dna>",
        "ACGTAC",
        "acgtac",
        "CCCCCC",
        "AC",
        "N",
        "é",
        "hello",
        " ",
        "<oov>",
    ]
    texts = ["".join(rng.choices(blocks, k=rng.choice((2, 5, 12)))) for _ in range(200)]
    texts += vocabularies.texts(seed, 100)
    agree(vocabulary_file("hybriddna", seed), texts)
