"""Byte-pair encoding: bytes, merges, words taken whole, and what the vocabulary lacks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.tokenizers import TokenType, from_metadata
from zigllm_cli.tokenizers.bytelevel import TO_BYTE, original, visible
from zigllm_cli.tokenizers.cache import MAX_WORD, WordCache

ALL_BYTES = list(TO_BYTE)


def tokenizer(tokens: list[str], merges: list[str], pre: str = "gpt-2", **flags: Any) -> Any:
    model = flags.pop("model", "gpt2")
    keys = {"model": model, "pre": pre, "tokens": tokens, "merges": merges, **flags}
    return from_metadata({f"tokenizer.ggml.{key}": value for key, value in keys.items()})


@given(st.binary())
def test_every_byte_has_a_visible_character(raw: bytes) -> None:
    text = raw.decode("latin-1")
    assert original(visible(text)) == text.encode("utf-8")
    assert visible(text).isprintable()


def test_the_characters_of_gpt2() -> None:
    assert visible(" a\n") == "ĠaĊ"
    assert visible("é") == "Ã©"
    assert len(TO_BYTE) == 256
    assert original("ĠЖ") == b" \xd0\x96"  # no byte is spelt so: it stays


@given(st.text())
def test_all_bytes_make_it_lossless(text: str) -> None:
    model = tokenizer(ALL_BYTES, [])
    assert model.decode(model.encode(text)) == text


def test_merges_follow_their_order_not_the_longest_token() -> None:
    tokens = ["a", "b", "c", "ab", "bc", "abc"]
    first, second = ["a b", "ab c", "b c"], ["b c", "a b", "a bc"]
    ids = tokenizer(tokens, first).vocabulary.ids
    assert tokenizer(tokens, first).encode("abc") == [ids["abc"]]
    assert tokenizer(tokens, second).encode("abc") == [ids["abc"]]
    assert tokenizer(tokens, ["b c", "a b"]).encode("abc") == [ids["a"], ids["bc"]]
    assert tokenizer(tokens, ["a b", "b c"]).encode("abc") == [ids["ab"], ids["c"]]


def test_the_first_of_two_equal_merges_counts() -> None:
    model = tokenizer(["a", "b", "c", "ab", "bc"], ["a b", "b c", "a b"])
    assert [model.vocabulary.tokens[token] for token in model.encode("abc")] == ["ab", "c"]


def test_words_that_are_tokens_may_skip_the_merges() -> None:
    tokens = ["a", "b", "ab"]
    assert tokenizer(tokens, [], pre="llama-bpe", add_bos_token=False).encode("ab") == [2]
    assert tokenizer(tokens, [], pre="gpt-2").encode("ab") == [0, 1]


def test_a_merge_result_that_is_no_token_falls_apart_or_is_dropped() -> None:
    assert tokenizer(["a", "b"], ["a b"]).encode("ab") == [0, 1]
    assert tokenizer(["a"], []).encode("éa") == [0]  # as llama.cpp: unknown bytes vanish


def test_broken_bytes_become_replacement_characters() -> None:
    model = tokenizer(ALL_BYTES, [])
    assert model.decode(model.encode("a\udcff\udcfe")) == "a\ufffd\ufffd"


def test_gemma4_spells_spaces_and_bytes_its_own_way() -> None:
    tokens = ["<bos>", "▁", "a", "▁a", "\n\n", "<0xC3>", "<0xA9>"]
    types = [TokenType.CONTROL, 1, 1, 1, 1, TokenType.BYTE, TokenType.BYTE]
    model = tokenizer(
        tokens, ["▁ a"], model="gemma4", token_type=[*map(int, types)], bos_token_id=0
    )
    ids = model.encode(" a\n\né")
    assert ids == [0, 3, 4, 5, 6]  # BOS is added whatever the file says
    assert model.decode(ids) == " a\n\né"


def test_explanation_tells_ranks_and_whole_words() -> None:
    model = tokenizer(["a", "b", "ab", "Ġ"], ["a b"])
    first, second = model.explain("ab b")
    assert (first.text, first.symbols, first.ids) == ("ab", ["a", "b"], [2])
    assert [(step.symbols, step.reason) for step in first.steps] == [(["ab"], "rank 0")]
    assert (second.text, second.steps, second.ids) == (" b", [], [3, 1])
    (whole,) = tokenizer(["ab"], [], pre="llama-bpe").explain("ab")
    assert (whole.symbols, whole.ids) == ([], [0])


def test_the_cache_forgets_long_words_and_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    words = WordCache(lambda word: asked.append(word) or [len(word)])  # type: ignore[func-returns-value]
    long = "x" * (MAX_WORD + 1)
    assert words.encode_all(["a", "bb", "a", long, long]) == [1, 2, 1, len(long), len(long)]
    assert asked == ["a", "bb", long, long]
    monkeypatch.setattr("zigllm_cli.tokenizers.cache.MAX_WORDS", 2)
    words["ccc"]
    assert set(words) == {"ccc"}


@given(st.text(" ab\n.1é", max_size=40))
def test_words_of_a_text_are_those_of_its_pieces(text: str) -> None:
    """Texts are cut before spaces first; that must not show in the ids."""
    model = tokenizer(ALL_BYTES, [])
    assert model.encode(text) == model._words.encode_all(model.pre_tokens(text))
