"""RWKV's "world" tokenizer: longest match over bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers import Tokenizer
from zigllm_cli.tokenizers.rwkv import unescaped

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


@pytest.mark.parametrize(
    ("spelt", "expected"),
    [
        ("abc", b"abc"),
        (r"\n\t\r", b"\n\t\r"),
        (r"\'\\\"", b"'\\\""),
        (r"\x00\xff\x4a", b"\x00\xffJ"),
        (r"\x4A", b"\x51"),  # llama.cpp does not know capitals
        ("\\xé", b"\x23"),  # nor looks what the digits are: (0xC3 - 0x30) * 16 + 0xA9 - 0x30
        ("漢\\n", "漢\n".encode()),
        ("a\\", b"a"),
        ("a\\x4", b"a"),
    ],
)
def test_escapes(spelt: str, expected: bytes) -> None:
    if spelt == "\\xé":
        expected = bytes([((0xC3 - 0x30) * 16 + 0xA9 - 0x30) % 256])
    assert unescaped(spelt) == expected


@pytest.fixture(scope="module")
def tokenizer(tiny: Callable[..., Tokenizer]) -> Tokenizer:
    texts = ["<s>", *(f"\\x{byte:02x}" for byte in range(256)), "the", "then", r"\n\n", "é", " the"]
    return tiny("rwkv", [(text, NORMAL if i else CONTROL, 0.0) for i, text in enumerate(texts)])


def test_the_longest_token_wins(tokenizer: Tokenizer) -> None:
    the, then, newlines, accent, space_the = range(257, 262)
    assert tokenizer.encode("thenthe") == [then, the]
    assert tokenizer.encode("the the") == [the, space_the]
    assert tokenizer.encode("\n\n\né") == [newlines, 1 + 10, accent]
    assert tokenizer.encode("th") == [1 + ord("t"), 1 + ord("h")]
    assert tokenizer.encode("\udcc3") == [1 + 0xC3]
    assert tokenizer.encode("<s>") == [0]  # control tokens are found like any other


def test_nothing_is_added(tiny: Callable[..., Tokenizer]) -> None:
    rows = [("a", NORMAL, 0.0)]
    tokenizer = tiny("rwkv", rows, add_bos_token=True, bos_token_id=0, add_eos_token=True)
    assert tokenizer.encode("a") == [0]


def test_a_byte_without_a_token(tiny: Callable[..., Tokenizer]) -> None:
    rows = [("a", NORMAL, 0.0), ("bc", NORMAL, 0.0), ("?", NORMAL, 0.0)]
    with pytest.raises(InputError, match="no token for the byte 0x62"):
        tiny("rwkv", rows).encode("ab")
    assert tiny("rwkv", rows, unknown_token_id=2).encode("abbc") == [0, 2, 1]


def test_special_tokens_are_unescaped_too(tiny: Callable[..., Tokenizer]) -> None:
    rows = [(r"<\x73>", CONTROL, 0.0), (r"\n", USER_DEFINED, 0.0), (r"\t", 5, 0.0)]
    tokenizer = tiny("rwkv", rows)
    assert [tokenizer.piece(token) for token in range(3)] == [b"<s>", b"\n", b"\t"]
    assert tokenizer.piece(0, render_special=False) == b""


@given(st.binary())
def test_every_sequence_of_bytes_comes_back(tokenizer: Tokenizer, data: bytes) -> None:
    ids = tokenizer.encode(data.decode("utf-8", "surrogateescape"))
    assert b"".join(map(tokenizer.piece, ids)) == data
    assert tokenizer.lossless


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(3))
def test_against_llama_cpp(
    vocabulary_file: Callable[..., Path],
    vocabularies: ModuleType,
    agree: Callable[..., None],
    seed: int,
) -> None:
    values = {"add_bos_token": True, "bos_token_id": 0} if seed else {}
    agree(vocabulary_file("rwkv", seed, **values), vocabularies.texts(seed, 200))
