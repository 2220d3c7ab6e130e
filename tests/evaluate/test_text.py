"""A text read in blocks gives the tokens of the whole, for every kind of tokenizer."""

from __future__ import annotations

import io
import tracemalloc
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

import zigllm_cli
from zigllm_cli.evaluate.text import TokenStream
from zigllm_cli.model import Model
from zigllm_cli.tokenizers import Tokenizer

VOCABULARIES = ("bert-bge", "deepseek-coder", "gpt-2", "llama-bpe", "llama-spm", "qwen2")


@cache
def tokenizer_of(path: Path) -> Tokenizer:
    return zigllm_cli.load(path).tokenizer


def check(tokenizer: Tokenizer, data: bytes, block: int) -> int:
    stream = TokenStream(tokenizer, io.BytesIO(data), block)
    parts = list(stream)
    whole = tokenizer.encode(data.decode("utf-8", "surrogateescape"))
    assert [*chain.from_iterable(parts), *tokenizer.suffix] == whole
    assert stream.bytes_cut == stream.bytes_read == len(data)
    assert stream.tokens == sum(map(len, parts))
    return len(parts)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_real_text_in_blocks(kit: Path, name: str) -> None:
    tokenizer = tokenizer_of(kit / "vocab" / f"ggml-vocab-{name}.gguf")
    wiki = (kit / "text/wikitext2-test.txt").read_bytes()[:40_000]
    assert check(tokenizer, wiki, 5003) > 5
    hard = (kit / "vocab" / f"ggml-vocab-{name}.gguf.inp").read_bytes() * 3
    check(tokenizer, hard, 3001)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a",
        "漢字仮名カが".encode() * 800,
        b"no space " * 700,
        b"abcdefgh" * 900,
        b"\n \n\n\t " * 900,
        bytes(range(256)) * 30,
        "é".encode() * 3000 + b"\xc3",
    ],
    ids=["empty", "one", "cjk", "words", "one word", "blanks", "bytes", "cut character"],
)
@pytest.mark.parametrize("block", [1000, 4096])
def test_odd_texts(small: Model, data: bytes, block: int) -> None:
    check(small.tokenizer, data, block)


def test_digest_is_of_the_beginning(small: Model) -> None:
    def digest(data: bytes) -> str:
        return TokenStream(small.tokenizer, io.BytesIO(data), 10).digest

    assert digest(b"0123456789abc") == digest(b"0123456789xyz") != digest(b"1123456789abc")


class Endless(io.RawIOBase):
    """As many megabytes of text as are asked for, made when they are read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        count = min(size, self._left)
        self._left -= count
        return (b"hear me speak and then some more\n" * (count // 33 + 1))[:count]


def test_memory_does_not_grow_with_the_text(small: Model) -> None:
    def peak(size: int) -> int:
        tracemalloc.start()
        for _ in TokenStream(small.tokenizer, Endless(size), 1 << 15):  # type: ignore[arg-type]
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1 << 16)  # what is remembered of words
    assert peak(1 << 19) < 1.3 * peak(1 << 17)
