"""Unigram: normalisation by a charsmap, spaces, Viterbi."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers import Tokenizer
from zigllm_cli.tokenizers.charsmap import CharsMap, Normalizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPECIAL = [("<pad>", CONTROL, 0.0), ("</s>", CONTROL, 0.0), ("<unk>", UNKNOWN, 0.0)]


@pytest.fixture(scope="module")
def make(tiny: Callable[..., Tokenizer]) -> Callable[..., Tokenizer]:
    def build(scores: dict[str, float], more: Any = (), **values: Any) -> Tokenizer:
        rows = [(text, NORMAL, score) for text, score in scores.items()]
        return tiny("t5", [*SPECIAL, *rows, *more], **values)

    return build


def texts_of(tokenizer: Tokenizer, text: str, **options: bool) -> list[str]:
    ids = tokenizer.encode(text, **{"add_special": False, **options})
    return [tokenizer.vocabulary.tokens[token] for token in ids]


def test_the_best_sum_wins(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -1.0, "b": -1.0, "c": -1.0, "ab": -1.5, "bc": -0.5, "abc": -2.0})
    assert texts_of(tokenizer, "abc") == ["a", "bc"]
    assert texts_of(tokenizer, "abab") == ["ab", "ab"]
    assert tokenizer.encode("ab")[-1] == 1  # EOS is added


def test_the_earlier_start_wins_on_ties(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -1.0, "b": -1.0, "ab": -2.0, "ba": -2.0})
    assert texts_of(tokenizer, "ab") == ["ab"]
    assert texts_of(tokenizer, "aba") == ["a", "ba"]


def test_unknown_characters_are_joined(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": -1.0, "b": -2.0})
    assert texts_of(tokenizer, "axyzb漢字") == ["a", "<unk>", "b", "<unk>"]
    assert texts_of(tokenizer, "é") == ["<unk>"]
    assert texts_of(tokenizer, "x y") == ["<unk>"]  # across words, too


def test_a_piece_beats_an_unknown_character_by_ten(make: Callable[..., Tokenizer]) -> None:
    """By ten less than the worst normal token."""
    assert texts_of(make({"a": -1.0}, [("xa", UNUSED, -12.5)]), "xa") == ["<unk>", "a"]
    assert texts_of(make({"a": -1.0}, [("xa", UNUSED, -11.5)]), "xa") == ["xa"]


def test_types_of_tokens(make: Callable[..., Tokenizer]) -> None:
    more = [
        ("ab", USER_DEFINED, -50.0),
        ("bc", UNUSED, -0.5),
        ("cd", CONTROL, 0.0),
        ("<0x41>", BYTE, 0.0),
    ]
    tokenizer = make(dict.fromkeys("abcd<0x41>", -1.0), more)
    assert texts_of(tokenizer, "abcd") == ["ab", "c", "d"]  # cut out before anything else
    assert texts_of(tokenizer, "bc") == ["bc"]
    assert texts_of(tokenizer, "cd", parse_special=True) == ["cd"]
    assert texts_of(tokenizer, "<0x41>") == list("<0x41>")
    pieces = [tokenizer.piece(tokenizer.vocabulary.ids[text]) for text in ("bc", "<0x41>", "ab")]
    assert pieces == [b"", b"A", b"ab"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "▁ ▁a ▁ ▁ b ▁"),
        ({"add_space_prefix": True}, "▁ ▁ ▁a ▁ ▁ b ▁"),
        ({"remove_extra_whitespaces": True}, "▁a ▁ b"),
        ({"add_space_prefix": True, "remove_extra_whitespaces": True}, "▁a ▁ b"),
    ],
)
def test_spaces(make: Callable[..., Tokenizer], values: dict[str, bool], expected: str) -> None:
    tokenizer = make({"▁": -1.0, "a": -1.0, "b": -1.0, "▁a": -1.9}, **values)
    assert texts_of(tokenizer, "  a  b ") == expected.split()
    assert not tokenizer.lossless


def test_blanks_alone(make: Callable[..., Tokenizer]) -> None:
    scores = {"▁": -1.0, "a": -1.0}
    assert texts_of(make(scores, remove_extra_whitespaces=True), "   ") == []
    assert texts_of(make(scores, add_space_prefix=True), "  ") == ["▁", "▁"]


def test_decoding_drops_the_space_that_was_added(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"▁a": -1.0, "▁b": -1.0}, add_space_prefix=True)
    assert tokenizer.decode(tokenizer.encode("a b")) == "a b"


def test_a_file_without_an_unknown_token(tiny: Callable[..., Tokenizer]) -> None:
    tokenizer = tiny("t5", [("a", NORMAL, 0.0), ("b", NORMAL, 0.0)])
    assert tokenizer.encode("ab", add_special=False) == [0, 1]
    with pytest.raises(InputError, match="names no token for it"):
        tokenizer.encode("x", add_special=False)


@given(data=st.data())
def test_no_segmentation_is_better(make: Callable[..., Tokenizer], data: st.DataObject) -> None:
    """Against all segmentations; quarters add up exactly, so that words may be cut."""
    words = data.draw(st.sets(st.text("ab▁", min_size=1, max_size=3), max_size=8))
    scores = {word: -data.draw(st.integers(0, 40)) / 4 for word in ["a", "b", "▁", *sorted(words)]}
    text = data.draw(st.text("ab ", min_size=1, max_size=12))
    found = texts_of(make(scores), text)
    best = [0.0]
    spelt = text.replace(" ", "▁")
    for stop in range(1, len(spelt) + 1):
        ways = [(best[stop - len(w)] + s) for w, s in scores.items() if spelt[:stop].endswith(w)]
        best.append(max(ways))
    assert "".join(found) == spelt
    assert sum(scores[text] for text in found) == best[-1]


# ------------------------------------------------------------------ normalisation


@pytest.fixture(scope="module")
def rules(charsmap: bytes) -> CharsMap:
    return CharsMap(charsmap)


def latin(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def normalized(normalizer: Normalizer, text: str) -> str:
    return normalizer.normalized(latin(text)).encode("latin-1").decode("utf-8", "backslashreplace")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ﬁn … ①", "fin ... 1"),
        ("e\u0301e", "ée"),
        ("abc ab abx", "ABC aB aBx"),
        ("abcab cab abcab c", "long ABCaB c"),  # this rule looks beyond a space
        ("a\tb\xa0c\u2009", "a b c  "),
        ("x\u200b\ufeffy\x7f", "xy"),
        ("\udcff \udce2\udc82", "\ufffd \ufffd\ufffd"),
        ("\udcc1\udc81", r"\xc1\x81"),  # not proper, but what llama.cpp takes for a character
        ("", ""),
        ("\0", "\0"),
    ],
)
def test_rules(rules: CharsMap, text: str, expected: str) -> None:
    assert normalized(Normalizer(rules, []), text) == expected


def test_user_defined_tokens_keep_their_beginnings(rules: CharsMap) -> None:
    normalizer = Normalizer(rules, map(latin, ["abz", "…!", "é"]))
    assert normalized(normalizer, "abz") == "abz"
    assert normalized(normalizer, "abc") == "abc"  # "ab" begins a token: no rule
    assert normalized(normalizer, "…") == "…"
    assert normalized(normalizer, "è") == "\\xc3\ufffd"  # as llama.cpp: half of an é
    assert normalized(normalizer, "c ab c") == "c ab c"


@given(data=st.data())
def test_chunks_do_not_change_the_result(rules: CharsMap, data: st.DataObject) -> None:
    parts = st.sampled_from([*"abc x…é", "abcab cab", "\u3000", "\ufeff", "e\u0301", "\udcc3", " "])
    text = latin("".join(data.draw(st.lists(parts, max_size=20))))
    kept = map(latin, data.draw(st.lists(st.sampled_from(["ab", "b c", " x", "é", "……"]))))
    normalizer = Normalizer(rules, kept)
    assert normalizer.normalized(text) == normalizer._apply(text)[0]


@given(st.binary(max_size=200), st.text("abc é\0…"))
def test_corrupt_rules_are_refused(packed: bytes, text: str) -> None:
    """Every sequence of bytes either works or is an error of the file."""
    header = (len(packed) * 3 // 4).to_bytes(4, "little")
    for content in (packed, header + packed):
        with suppress(InputError):
            Normalizer(CharsMap(content), []).normalized(latin(text))


def test_rules_that_lead_in_circles() -> None:
    units = [ord("a") << 10, *[0] * 255]
    # Unit 97 ^ 97 = 0 is where the root's children lie; 'a' leads to itself again and again.
    units[0] = 0
    units[ord("a")] = ord("a") | ord("a") << 10
    packed = b"".join(unit.to_bytes(4, "little") for unit in units)
    rules = CharsMap((1024).to_bytes(4, "little") + packed + b"\0")
    with pytest.raises(InputError, match="in circles"):
        Normalizer(rules, []).normalized("a" * 100_000)


@pytest.mark.parametrize("packed", [b"", b"\0\0\0", b"\4\0\0\0abcd", b"\xff\xff\xff\xffabcd"])
def test_too_few_bytes_for_rules(packed: bytes) -> None:
    with pytest.raises(InputError, match="corrupt"):
        CharsMap(packed)


def test_rules_must_be_bytes(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make({"a": 0.0}, precompiled_charsmap="text")
    with pytest.raises(InputError, match="not an array of bytes"):
        tokenizer.encode("a")


# ------------------------------------------------------------------ llama.cpp


@pytest.mark.oracle
@pytest.mark.parametrize("with_rules", [False, True])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("merge", [False, True])
def test_against_llama_cpp(
    vocabulary_file: Callable[..., Path],
    vocabularies: ModuleType,
    agree: Callable[..., None],
    charsmap: bytes,
    with_rules: bool,
    whole: bool,
    prefix: bool,
    merge: bool,
) -> None:
    values: dict[str, Any] = {"precompiled_charsmap": charsmap} if with_rules else {}
    values |= {"add_space_prefix": prefix, "remove_extra_whitespaces": merge, "whole": whole}
    seed = with_rules + 2 * whole + 4 * prefix + 8 * merge
    agree(vocabulary_file("t5", seed, **values), vocabularies.texts(seed, 100))
