"""Vocabularies: ids with a meaning, ends of generation, and what is wrong with broken ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.errors import InputError, UnsupportedError, UsageError
from zigllm_cli.tokenizers import TokenType, from_metadata
from zigllm_cli.tokenizers.vocabulary import Vocabulary

Metadata = dict[str, Any]


def keys(model: str = "gpt2", **values: Any) -> Metadata:
    values.setdefault("tokens", ["a", "b", "<|im_end|>", "<|return|>", "<|call|>", "<|end|>"])
    return {f"tokenizer.ggml.{name}": value for name, value in {"model": model, **values}.items()}


def test_ends_are_found_by_text_and_become_control() -> None:
    vocabulary = Vocabulary(keys(tokens=["a", "<|im_end|>", "</s>"], eos_token_id=0))
    assert vocabulary.end_ids == {0, 1, 2}
    assert vocabulary.types == [TokenType.NORMAL, TokenType.CONTROL, TokenType.CONTROL]
    assert vocabulary.special["eot"] == 1


def test_gpt_oss_goes_on_after_end() -> None:
    vocabulary = Vocabulary(keys(eos_token_id=3))
    assert vocabulary.end_ids == {2, 3, 4}
    assert vocabulary.types[5] == TokenType.USER_DEFINED


def test_gemma4_has_an_ordinary_s() -> None:
    tokens = ["</s>", "<|tool_response>", "<eos>"]
    vocabulary = Vocabulary(keys("gemma4", tokens=tokens))
    assert vocabulary.end_ids == {1, 2}
    assert vocabulary.types[0] == TokenType.NORMAL


def test_ids_outside_the_vocabulary_do_not_count() -> None:
    vocabulary = Vocabulary(keys("llama", tokens=["a", "b"], bos_token_id=9))
    assert vocabulary.special == {"bos": 1, "unk": 0}


def test_empty_tokens_get_a_name() -> None:
    assert Vocabulary(keys(tokens=["a", ""])).tokens == ["a", "[EMPTY_1]"]


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ({}, UnsupportedError, "tokenizer model '' is unknown; known are llama, gpt2"),
        (keys("sumo"), UnsupportedError, "'sumo' is unknown"),
        (keys(model=3), InputError, "model is 3, not a text"),
        (keys(tokens=None), InputError, "tokens is missing"),
        (keys(tokens=[]), InputError, "empty"),
        (keys(tokens=[1]), InputError, "not an array of texts"),
        (keys(token_type=[1]), InputError, "token_type has 1 values for 6 tokens"),
        (keys(token_type=["x"]), InputError, "not an array of numbers"),
        (keys(merges=[1], pre="gpt-2"), InputError, "merges is not an array of texts"),
        (keys(pre="gpt-2"), InputError, "merges is missing"),
        (keys(pre="nope", merges=[]), UnsupportedError, "nope"),
        (keys(pre="gpt-2", merges=[], add_bos_token=1), InputError, "add_bos_token is 1"),
        (keys("llama", scores=[1.0]), InputError, "scores has 1 values for 6 tokens"),
    ],
)
def test_broken_vocabularies_say_what_is_wrong(
    metadata: Metadata, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        from_metadata(metadata).encode("a")


def test_a_wanted_but_missing_bos_is_an_error() -> None:
    metadata = keys(tokens=["a"], pre="gpt-2", merges=[], add_bos_token=True)
    with pytest.raises(InputError, match="wants a BOS token"):
        from_metadata(metadata).encode("a")


def test_ids_outside_cannot_be_decoded() -> None:
    tokenizer = from_metadata(keys(pre="gpt-2", merges=[]))
    for token in (-1, 6):
        with pytest.raises(UsageError, match=f"token id {token} is outside"):
            tokenizer.decode([token])


def test_no_tokenizer_refuses_text() -> None:
    tokenizer = from_metadata({"tokenizer.ggml.model": "none"})
    with pytest.raises(UnsupportedError, match="token ids instead of text"):
        tokenizer.encode("a")
    assert tokenizer.encode("") == []


def cut_by_definition(text: str, specials: list[tuple[str, int]]) -> list[str | int]:
    """The longest token first, each at its leftmost places."""
    fragments: list[str | int] = [text] if text else []
    for wanted, token in specials:
        cut: list[str | int] = []
        for fragment in fragments:
            if isinstance(fragment, int):
                cut.append(fragment)
                continue
            parts = fragment.split(wanted)
            for at, part in enumerate(parts):
                cut += [token] if at else []
                cut += [part] if part else []
        fragments = cut
    return fragments


@given(
    st.lists(st.text("<ab>", min_size=1, max_size=4), unique=True, max_size=5),
    st.text("<ab>", max_size=20),
)
def test_special_tokens_are_cut_longest_first(specials: list[str], text: str) -> None:
    tokens = ["[x]", *specials]
    types = [TokenType.NORMAL] + [TokenType.CONTROL] * len(specials)
    metadata = keys(tokens=tokens, token_type=[*map(int, types)], pre="gpt-2", merges=[])
    tokenizer = from_metadata(metadata)
    table = sorted(
        ((text, at) for at, text in enumerate(tokens) if at), key=lambda row: -len(row[0])
    )
    assert tokenizer.fragments(text, parse_special=True) == cut_by_definition(text, table)
    assert tokenizer.fragments(text, parse_special=False) == ([text] if text else [])


def test_phi3_swallows_space_behind_special_tokens() -> None:
    tokens = ["<unk>", "<s>", "</s>", "<|end|>", "▁", "a", "▁a"]
    types = [2, 3, 3, 3, 1, 1, 1]
    metadata = keys("llama", tokens=tokens, token_type=types) | {"general.name": "Phi-3 mini"}
    fragments = from_metadata(metadata).fragments("a<|end|> \n a<s> a", parse_special=True)
    assert fragments == ["a", 3, "a", 1, " a"]


def test_mask_swallows_space_before_it() -> None:
    tokens = ["[x]", "<mask>"]
    metadata = keys(tokens=tokens, token_type=[1, 3], pre="jina-v2-de", merges=[])
    fragments = from_metadata(metadata).fragments("a  <mask> b", parse_special=True)
    assert fragments == ["a", 1, " b"]
