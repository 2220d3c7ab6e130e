"""WordPiece: normalisation, words, longest match."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers import Tokenizer
from zigllm_cli.tokenizers.wordpiece import Normalizer

NORMAL, CONTROL, UNUSED = 1, 3, 5
TOKENS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁un", "aff", "able", "▁hello", "▁wor", "ld", "▁,"),
    *("▁!", "▁漢", "▁字", "▁οδοσ", "▁i", "▁😀", "ab", "▁[", "▁]", "▁cls"),
)
IDS = {text: i for i, text in enumerate(TOKENS)}
UNK = IDS["[UNK]"]


@pytest.fixture(scope="module")
def make(tiny: Callable[..., Tokenizer]) -> Callable[..., Tokenizer]:
    rows = [(text, CONTROL if i < 4 else NORMAL, 0.0) for i, text in enumerate(TOKENS)]

    def build(**values: Any) -> Tokenizer:
        ids = {"bos_token_id": 2, "seperator_token_id": 3, "unknown_token_id": UNK}
        return tiny("bert", rows, **{**ids, **values})

    return build


@pytest.fixture(scope="module")
def tokenizer(make: Callable[..., Tokenizer]) -> Tokenizer:
    return make()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unaffable", "▁un aff able"),
        ("  hello,world!\n", "▁hello ▁, ▁wor ld ▁!"),
        ("HELLO\tHello", "▁hello ▁hello"),
        ("un affable", "▁un [UNK]"),  # nothing continues a word that has not begun
        ("unaffabl unab", "[UNK] ▁un ab"),
        ("漢字hello", "▁漢 ▁字 ▁hello"),
        ("hel\x00lo hel\x1clo h\u200bello\ufffd hel\udcfflo", "▁hello ▁hello ▁hello ▁hello"),
        ("héllo he\u0301llo", "▁hello ▁hello"),
        ("hello\u3000hello\xa0hello\x85hello\u2003hello", "▁hello ▁hello ▁hello ▁hello ▁hello"),
        ("ΟΔΟΣ οδος", "▁οδοσ [UNK]"),
        ("İ", "▁i"),
        ("😀 😀😀", "▁😀 [UNK]"),
        ("\udcc8\udc81 \udcc1\udca8ello", "[UNK] ▁hello"),  # an overlong "h" is an "h"
        ("\udced\udca0\udc80hello", "▁hello"),
        ("[CLS]", "▁[ ▁cls ▁]"),
        ("", ""),
        (" \n\u2028", ""),
    ],
)
def test_ids(tokenizer: Tokenizer, text: str, expected: str) -> None:
    assert tokenizer.encode(text, add_special=False) == [IDS[token] for token in expected.split()]


def test_cls_and_sep_whatever_the_flags_say(make: Callable[..., Tokenizer]) -> None:
    for value in (False, True):
        tokenizer = make(add_bos_token=value, add_eos_token=value, add_sep_token=value)
        assert tokenizer.encode("hello") == [IDS["[CLS]"], IDS["▁hello"], IDS["[SEP]"]]
        assert tokenizer.encode("") == [IDS["[CLS]"], IDS["[SEP]"]]


def test_special_tokens_in_the_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("hello[SEP]hello", add_special=False, parse_special=True)
    assert ids == [IDS["▁hello"], IDS["[SEP]"], IDS["▁hello"]]


@pytest.mark.parametrize(
    ("values", "text", "known"),
    [
        ({"normalizer__lowercase": False}, "HELLO", False),
        ({"normalizer__lowercase": False}, "héllo", False),
        ({"normalizer__lowercase": False, "normalizer__strip_accents": True}, "héllo", True),
        ({"normalizer__strip_accents": False}, "HELLO", True),
        ({"normalizer__strip_accents": False}, "héllo", False),
    ],
)
def test_normalizer_flags(
    make: Callable[..., Tokenizer], values: dict[str, bool], text: str, known: bool
) -> None:
    ids = make(**values).encode(text, add_special=False)
    assert ids == [IDS["▁hello"] if known else UNK]


def test_decoded_text_has_no_space_in_front(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("Hello, world!")) == "hello , world !"
    assert not tokenizer.lossless


def test_unused_tokens_print_nothing(tiny: Callable[..., Tokenizer]) -> None:
    tokenizer = tiny("bert", [("▁a", NORMAL, 0.0), ("▁b", UNUSED, 0.0), ("<0x41>", 6, 0.0)])
    assert [tokenizer.piece(token) for token in range(3)] == [b" a", b"", b"A"]


def test_a_file_without_an_unknown_token(tiny: Callable[..., Tokenizer]) -> None:
    tokenizer = tiny("bert", [("▁a", NORMAL, 0.0)])
    assert tokenizer.encode("a", add_special=False) == [0]
    with pytest.raises(InputError, match="no token for unknown words"):
        tokenizer.encode("b", add_special=False)
    with pytest.raises(InputError, match="BOS"):
        tokenizer.encode("a")


def test_explanation_quotes_the_text(tokenizer: Tokenizer) -> None:
    entries = tokenizer.explain("Unaffable, HELLO")
    assert [entry.text for entry in entries] == ["Unaffable,", "HELLO"]
    assert entries[1].ids == [IDS["▁hello"]]


@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "digest"),
    [
        (False, False, "b21f4995b14695c5"),
        (False, True, "e5ae8754b3f20502"),
        (True, False, "47d1cc68fc306c25"),
        (True, True, "443a9c4cbd4c83a2"),
    ],
)
def test_every_character_is_normalised_as_by_unicode_15_1(
    lowercase: bool, strip_accents: bool, digest: str
) -> None:
    """The digests are those of llama.cpp's tables, whatever Unicode this Python knows.

    All of planes 0 and 1 and the borders of the rest; the test below asks for every character.
    """
    table = Normalizer(lowercase=lowercase, strip_accents=strip_accents)
    codes = [*range(0x20000), *range(0x2A600, 0x30000), *range(0xE0000, 0xE0200)]
    text = "\n".join(table[code] for code in codes)
    assert sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] == digest


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"normalizer__lowercase": False},
        {"normalizer__strip_accents": False},
        {"normalizer__lowercase": False, "normalizer__strip_accents": True},
    ],
)
def test_against_llama_cpp(
    vocabulary_file: Callable[..., Path],
    vocabularies: ModuleType,
    agree: Callable[..., None],
    seed: int,
    values: dict[str, bool],
) -> None:
    agree(vocabulary_file("bert", seed, **values), vocabularies.texts(seed, 150))


@pytest.mark.slow
@pytest.mark.oracle
def test_every_character_against_llama_cpp(kit: Path, agree: Callable[..., None]) -> None:
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = [
        "a".join(map(chr, codes[start : start + 5000])) for start in range(0, len(codes), 5000)
    ]
    agree(kit / "vocab" / "ggml-vocab-bert-bge.gguf", texts)


@given(st.text("unafble", min_size=1, max_size=40))
def test_long_words_take_another_way_to_the_same_ids(tokenizer: Any, word: str) -> None:
    assert tokenizer._encode_long_word(word) == tokenizer._encode_word(word)
