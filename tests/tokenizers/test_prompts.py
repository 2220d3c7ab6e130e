"""Control tokens in a rendered prompt: those of the template are tokens, those of messages text."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.tokenizers import Tokenizer, from_metadata


def tokenizers(kit: Path) -> list[Tokenizer]:
    files = [zigllm_cli.open_gguf(path) for path in sorted((kit / "vocab").rglob("*.gguf"))]
    return [from_metadata(file.metadata) for file in files]


def test_without_content_it_is_encode(kit: Path) -> None:
    for tokenizer in tokenizers(kit):
        texts = [tokenizer.vocabulary.tokens[i] for i in tokenizer.vocabulary.special_tokens[:9]]
        text = " hello ".join(texts) + " world\n  x"
        expected = tokenizer.encode(text, add_special=False, parse_special=True)
        assert tokenizer.encode_prompt(text) == expected


def test_control_tokens_in_content_are_text(kit: Path) -> None:
    count = 0
    for tokenizer in tokenizers(kit):
        vocabulary = tokenizer.vocabulary
        for token in vocabulary.special_tokens[:20]:
            wanted = vocabulary.tokens[token]
            text = f"{wanted}ab {wanted}"
            content = [(len(wanted), len(text))]
            ids = tokenizer.encode_prompt(text, content)
            if not vocabulary.is_hidden(token):
                assert ids == tokenizer.encode_prompt(text)
                continue
            count += 1
            assert ids[0] == token
            assert token not in ids[1:]
            if tokenizer.lossless:
                assert tokenizer.decode(ids[1:]).lstrip(" ") == text[len(wanted) :]
    assert count > 50


def test_content_shares_tokens_with_its_neighbours() -> None:
    """Where nothing special is in it, marks change nothing: also not across their edges."""
    tokenizer = zigllm_cli.load(RANDOM).tokenizer
    text = "<s>hear me speak</s>"
    plain = tokenizer.encode_prompt(text)
    for start in range(3, 16):
        for stop in range(start, 17):
            assert tokenizer.encode_prompt(text, [(start, stop)]) == plain


@pytest.mark.parametrize("start", range(1, 4))
def test_a_token_half_in_content_is_none(start: int) -> None:
    tokenizer = zigllm_cli.load(RANDOM).tokenizer
    assert 2 not in tokenizer.encode_prompt("a</s>b", [(start, start + 1)])


def test_going_on_in_the_middle_puts_no_space_in_front() -> None:
    tokenizer = zigllm_cli.load(RANDOM).tokenizer
    ids = tokenizer.encode_prompt("speak", after_special=False)
    assert b"".join(map(tokenizer.piece, ids)) == b"speak"
    ids = tokenizer.encode_prompt("speak")
    assert b"".join(map(tokenizer.piece, ids)) == b" speak"
