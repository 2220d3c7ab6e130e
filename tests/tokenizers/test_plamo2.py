"""PLaMo 2: the cheapest segmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers import Tokenizer

NORMAL, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 3, 4, 5, 6
SPECIAL = [(f"<|plamo:{name}|>", CONTROL, 0.0) for name in ("unk", "bos", "eos", "pad")]
BYTES = [(f"<0x{byte:02X}>", BYTE, 0.0) for byte in range(256)]


@pytest.fixture(scope="module")
def make(tiny: Callable[..., Tokenizer]) -> Callable[..., Tokenizer]:
    return lambda scores, **values: tiny(
        "plamo2", [*SPECIAL, *BYTES, *((text, NORMAL, s) for text, s in scores.items())], **values
    )


def texts_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary.tokens[token] for token in tokenizer.encode(text)]


def test_the_cheapest_way_wins(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -1.0, "b": -1.0, "c": -1.0, "ab": -1.5, "bc": -1.0, "abc": -9.0})
    assert texts_of(tokenizer, "abc") == ["a", "bc"]
    assert texts_of(tokenizer, "abab") == ["ab", "ab"]


def test_the_longest_first_token_wins_on_ties(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -1.0, "b": -1.0, "ab": -2.0, "ba": -2.0})
    assert texts_of(tokenizer, "ab") == ["ab"]
    assert texts_of(tokenizer, "aba") == ["ab", "a"]


def test_scores_count_to_four_decimals(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -1.0, "b": -1.0, "ab": -2.00004, "cd": -2.0001, "c": -1.0, "d": -1.0})
    assert texts_of(tokenizer, "ab") == ["ab"]
    assert texts_of(tokenizer, "cd") == ["c", "d"]


def test_unknown_characters_become_bytes(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -1.0, "éa": -1.0})
    assert texts_of(tokenizer, "aé\u20ac") == [
        "a",
        "<0xC3>",
        "<0xA9>",
        "<0xE2>",
        "<0x82>",
        "<0xAC>",
    ]
    assert texts_of(tokenizer, "éa") == ["éa"]
    assert texts_of(tokenizer, "\udcff") == ["<0xEF>", "<0xBF>", "<0xBD>"]
    assert texts_of(tokenizer, "\udced\udca0\udc80") == ["<0xED>", "<0xA0>", "<0x80>"]


def test_bytes_cost_more_than_any_token(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -999.0, "b": -1001.0, "c": -2000.0, "d": float("-inf")})
    assert texts_of(tokenizer, "abcd") == ["a", "<0x62>", "<0x63>", "<0x64>"]


def test_tokens_of_every_type_but_byte_are_found(tiny: Callable[..., Tokenizer]) -> None:
    rows = [*SPECIAL, *BYTES, ("ab", UNUSED, -1.0)]
    assert tiny("plamo2", rows).encode("ab<|plamo:bos|><0x41>") == [
        *(260, 1),
        *(4 + byte for byte in b"<0x41>"),
    ]


def test_a_byte_order_mark_is_dropped_once(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -1.0, "\ufeff": -1.0})
    assert texts_of(tokenizer, "\ufeffa") == ["a"]
    assert texts_of(tokenizer, "\ufeff\ufeffa") == ["\ufeff", "a"]
    assert not tokenizer.lossless


def test_nothing_is_added(make: Callable[..., Tokenizer]) -> None:
    assert texts_of(make({"a": -1.0}, add_bos_token=True, add_eos_token=True), "a") == ["a"]


def test_pieces(tiny: Callable[..., Tokenizer]) -> None:
    rows = [*SPECIAL, *BYTES, ("▁a b", NORMAL, 0.0), ("<0xGG>", BYTE, 0.0)]
    tokenizer = tiny("plamo2", rows)
    assert tokenizer.piece(4 + 0xC3) == b"\xc3"
    assert tokenizer.piece(260) == "▁a b".encode()
    assert tokenizer.piece(261) == b"<0xGG>"


def test_a_missing_byte_token(tiny: Callable[..., Tokenizer]) -> None:
    tokenizer = tiny("plamo2", [*SPECIAL, *BYTES[:0x41], *BYTES[0x42:]])
    with pytest.raises(InputError, match="no byte token <0x41>"):
        tokenizer.encode("x")


@given(text=st.text("ab c漢é\u3000", max_size=12), data=st.data())
def test_no_segmentation_is_cheaper(
    make: Callable[..., Tokenizer], text: str, data: st.DataObject
) -> None:
    """Against the sum over all segmentations, tried one by one."""
    words = data.draw(st.sets(st.text("ab c漢", min_size=1, max_size=3), max_size=8))
    scores = {word: -float(data.draw(st.integers(0, 9))) for word in sorted(words)}
    tokenizer = make(scores)
    best = [0.0] * (len(text) + 1)
    for start in reversed(range(len(text))):
        ways = [1000.0 + best[start + 1]]
        ways += [best[start + len(w)] - s for w, s in scores.items() if text.startswith(w, start)]
        best[start] = min(ways)
    found = texts_of(tokenizer, text)
    leads = [t for t in found if t not in scores and int(t[3:5], 16) & 0xC0 != 0x80]
    assert sum(-scores.get(t, 0.0) for t in found) + 1000.0 * len(leads) == best[0]


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(3))
def test_against_llama_cpp(
    vocabulary_file: Callable[..., Path],
    vocabularies: ModuleType,
    agree: Callable[..., None],
    seed: int,
) -> None:
    values = {"add_bos_token": True} if seed else {}
    agree(vocabulary_file("plamo2", seed, **values), vocabularies.texts(seed, 200))
