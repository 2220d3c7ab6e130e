"""The word splits of byte-level BPE.

`pretokenizer_splits.json` holds llama.cpp's answers: its `unicode.cpp` and `unicode-data.cpp` were
compiled into a small library, and `unicode_regex_split` was called with the pattern lists of
`llama-vocab.cpp`, without byte encoding, for texts made up here. "families" groups the names with
equal pattern lists, "splits" has for each text every different split (words joined by "‖") and the
families that make it, "classes" describes each Unicode class: its number of code points, its
number of runs over all code points but surrogates, and the SHA-256 of the lengths of the runs.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.tokenizers.bpe import LETTER_SEGMENT, SEGMENT
from zigllm_cli.tokenizers.cutting import cutter
from zigllm_cli.tokenizers.pretokenizers import NAMES, PreTokenizer, pretokenizer

GOLDEN = json.loads(Path(__file__).with_name("pretokenizer_splits.json").read_text("utf-8"))
FAMILIES: dict[str, list[str]] = {
    family: names.split() for family, names in GOLDEN["families"].items()
}
JOINT = "‖"


def split(name: str, text: str) -> str:
    return JOINT.join(pretokenizer(name).split(text))


# ------------------------------------------------------------------ llama.cpp's answers


@pytest.mark.parametrize("family", FAMILIES)
def test_splits_as_llama_cpp_does(family: str) -> None:
    for splits in GOLDEN["splits"]:
        (expected,) = (words for words, families in splits.items() if family in families.split())
        assert split(family, expected.replace(JOINT, "")) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_a_family_have_the_same_patterns(family: str) -> None:
    assert {pretokenizer(name).patterns for name in FAMILIES[family]} == {
        pretokenizer(family).patterns
    }


def test_every_name_of_llama_cpp_is_known() -> None:
    assert sorted(NAMES) == sorted(name for names in FAMILIES.values() for name in names)
    assert all(pretokenizer(name).name == name for name in NAMES)


@pytest.mark.parametrize("letter", GOLDEN["classes"])
def test_unicode_classes_are_those_of_llama_cpp(letter: str) -> None:
    """Fails with a version of `regex` that knows newer characters: extend `_NEWER` then."""
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    runs = PreTokenizer("a class", (rf"\p{{{letter}}}+",)).split(everything)
    assert "\0" in runs[0]  # the first run is outside every class
    lengths = [len(run) for run in runs]
    digest = hashlib.sha256(" ".join(map(str, lengths)).encode()).hexdigest()
    assert f"{sum(lengths[1::2])} {len(runs)} {digest}" == GOLDEN["classes"][letter]


# ------------------------------------------------------------------ written by hand


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("default", "wow‖!?‖ ‖1‖...‖123‖45"),
        ("falcon", "wow‖!?`‖ ‖123‖45"),
        ("gpt-2", "It‖'s‖  ‖ 12345‖ o‖'‖clock‖\n‖\n‖x‖  "),
        ("starcoder", "x‖1‖2‖ ‖3"),
        ("chameleon", "IMGIMGABZ‖a‖    ‖  ‖ x‖!‖!"),
        ("llama-bpe", "IT‖'S‖ ‖ ‖123‖45‖\n\n‖x‖!\n\n‖ y"),
        ("llama3", "e‖\u0301a‖ \u0301‖x"),
        ("qwen35", "e\u0301a‖ \u0301x"),
        ("qwen2", "x‖1‖2‖3‖.y"),
        ("jais-2", JOINT.join(" " * n for n in (512, 64, 16, 8)) + "‖ x"),
        ("exaone-moe", "one long word‖  ‖ and two‖.\n"),
        ("tekken", "Camel‖Case‖HTTPServer‖1‖2"),
        ("tekken", "ÉcoleÉcole‖Ecole"),  # beyond ASCII, a letter is upper and lower case
        ("gpt-4o", "don't‖Stop‖123‖4‖://\n/‖x"),
        ("tiny_aya", "CamelCase's‖12‖345‖678"),
        ("tiny_aya", "a‖ ‖ ‖1"),  # the spaces see the number behind them ...
        ("minicpm5", "a‖  ‖1"),  # ... and do not where the numbers were cut out before
        ("kimi-k2", "a‖中文‖b's‖中‖'s"),
        ("deepseek-v3", "中文‖.com‖\u00a0x‖12‖."),
        ("deepseek-v3", "\U0001ccf0A"),  # a symbol since Unicode 16; in 15 it is nothing
        ("deepseek-llm", "a‖ b‖ ‖中‖\n‖12345‖  "),
        ("afmoe", "1‖234‖ ‖ไ‖ทย‖ x‖!y"),  # its Thai starts at U+0E40
        ("superbpe", "all words ‖1‖234‖ at once"),
        ("superbpe", "123²4‖567"),  # its groups are of ASCII digits, its numbers are not
        ("bloom", "a‖,‖ b‖.‖c"),
        ("gemma4", "any words ‖\n\n‖ here"),
        ("whitespace", "any‖ ‖words,‖ \n ‖here"),
    ],
)
def test_examples(name: str, expected: str) -> None:
    assert split(name, expected.replace(JOINT, "")) == expected


SIGNS = "aAéЖ中あ한ก\u0301१1²'stS \t\n\r\v\u00a0\u3000!.$/😀\0\ufffd\ue000\u0378\u0897\u200d"
SOME_TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from(SIGNS))


@given(text=SOME_TEXT)
def test_words_join_to_the_text(text: str) -> None:
    for family in FAMILIES:
        words = pretokenizer(family).split(text)
        assert "".join(words) == text
        assert "" not in words


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        (
            "ignore_merges",
            "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken"
            " minicpm5 youtu glm4 glm5 granite-embed-multi-97m",
        ),
        (
            "add_bos",
            "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken"
            " chameleon gemma4 granite-embed-multi-311m",
        ),
        ("add_sep", "jina-v1-en jina-v2-code roberta-bpe"),
        ("escape_spaces", "gemma4 granite-embed-multi-311m sarvam-moe"),
        ("force_bos", "gemma4 granite-embed-multi-311m"),
        ("whole_newlines", "gemma4 granite-embed-multi-311m"),
    ],
)
def test_names_with_a_flag(flag: str, names: str) -> None:
    assert {name for name in NAMES if getattr(pretokenizer(name), flag)} == set(names.split())


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("byte_encode", "gemma4 granite-embed-multi-311m sarvam-moe whitespace"),
        ("has_bos", "chatglm-bpe glm4 glm5"),
        ("needs_merges", "kimi-k2"),
    ],
)
def test_names_without_a_flag(flag: str, names: str) -> None:
    assert {name for name in NAMES if not getattr(pretokenizer(name), flag)} == set(names.split())


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_it_is_the_default(name: str | None) -> None:
    assert pretokenizer(name) is pretokenizer("default")


def test_an_unknown_name_is_reported_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedError, match=r"'gpt-5' .* unknown; known are .*gpt-2"):
        pretokenizer("gpt-5")


# ------------------------------------------------------------------ time

HOSTILE: dict[str, Callable[[int], str]] = {
    "lower case": lambda n: "a" * n,
    "upper case behind both cases": lambda n: "é" + "A" * n,
    "spaces, then a letter": lambda n: " " * n + "a",
    "spaces, then Han": lambda n: " " * n + "中",
    "spaces behind a line end": lambda n: "\n" + " " * n + "\0",
    "line ends": lambda n: "\r\n" * (n // 2),
    "spaces with line ends": lambda n: " \n" * (n // 2),
    "digits": lambda n: "1" * (n // 3 * 3 + 1),
    "digits, two left over": lambda n: "1" * (n // 3 * 3 + 2) + "a",
    "numbers of two kinds": lambda n: "1234²" * (n // 5),
    "marks": lambda n: "\u0301" * n,
    "letters with marks": lambda n: "a\u0301" * (n // 2),
    "apostrophes": lambda n: "'" * n,
    "emoji": lambda n: "😀" * n,
    "NUL": lambda n: "\0" * n,
    "newer characters": lambda n: "\u0897\U0001ccf0" * (n // 2),
    "no end of a sentinel": lambda n: "<sentinel:" + "9" * n,
    "letters and spaces": lambda n: "a " * (n // 2),
}


def work(family: str, length: int) -> dict[str, float]:
    """Seconds of CPU time for each hostile text."""
    tokenizer = pretokenizer(family)
    tokenizer.split("compile the patterns")
    seconds = {}
    for kind, text in HOSTILE.items():
        hostile = text(length)
        start = time.process_time()
        assert sum(map(len, tokenizer.split(hostile))) == len(hostile)
        seconds[kind] = time.process_time() - start
    return seconds


@pytest.mark.parametrize("family", FAMILIES)
def test_hostile_texts_are_no_trap(family: str) -> None:
    """About 0.05 s each; a quadratic pattern with a small constant needs 20 s and more."""
    slow = {kind: used for kind, used in work(family, 100_000).items() if used > 5}
    assert not slow


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_time_is_linear(family: str) -> None:
    """Four times the length takes four times as long; it would be sixteen in quadratic time."""
    short, long = work(family, 250_000), work(family, 1_000_000)
    steep = {
        kind: (short[kind], used)
        for kind, used in long.items()
        if used > 1 and used > 10 * short[kind]
    }
    assert not steep


# ------------------------------------------------------------------ two ways to the same words

ASCII = st.text(st.characters(max_codepoint=127), max_size=40)


@given(ASCII | st.text("ab'sS1. \n\t\r\x1c\x00", max_size=40))
def test_ascii_texts_take_another_way_to_the_same_words(text: str) -> None:
    for name in FAMILIES:
        fragments = [text] if text else []
        for pattern in pretokenizer(name).patterns:
            fragments = [piece for part in fragments for piece in cutter(pattern)(part)]
        assert pretokenizer(name).split(text) == fragments


@given(st.text("aé1. \n\t\u3000'\x00\u0301中", max_size=40) | st.text(max_size=40))
def test_text_can_be_cut_before_spaces(text: str) -> None:
    text = text.encode("utf-8", "replace").decode("utf-8")
    segments = SEGMENT.findall(text)
    assert "".join(segments) == text
    for name in FAMILIES:
        if pretokenizer(name).cuts_before_spaces:
            words = [word for part in segments for word in pretokenizer(name).split(part)]
            assert words == pretokenizer(name).split(text)


@given(st.text("aéЖ中1.= \n\t\u3000", max_size=40) | st.text(max_size=40))
def test_text_can_be_cut_before_letters(text: str) -> None:
    text = text.encode("utf-8", "replace").decode("utf-8")
    segments = LETTER_SEGMENT.findall(text)
    assert "".join(segments) == text
    for name in FAMILIES:
        if pretokenizer(name).cuts_before_letters:
            words = [word for part in segments for word in pretokenizer(name).split(part)]
            assert words == pretokenizer(name).split(text)
