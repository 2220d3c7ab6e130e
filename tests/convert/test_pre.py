"""Finding `tokenizer.ggml.pre` from a tokenizer.json: by each row's own patterns, by real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zigllm_cli.convert.hf.tokenizer import pre
from zigllm_cli.convert.hf.tokenizer.files import TokenizerFiles
from zigllm_cli.convert.hf.tokenizer.pre import find_pre
from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.tokenizers.pretokenizers import NAMES, PreTokenizer, pretokenizer

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
CUTTING_BYTES = BYTES | {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
BOS = {"bos_token": "<s>"}
ROBERTA = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}


def split(*patterns: str, **changes: Any) -> list[dict[str, Any]]:
    return [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        | changes
        for pattern in patterns
    ]


def files(
    steps: list[dict[str, Any]], config: dict[str, Any] | None = None, **model: Any
) -> TokenizerFiles:
    tokenizer: dict[str, Any] = {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "model": {"type": "BPE", **model},
    }
    return TokenizerFiles(Path("folder"), tokenizer, config or {})


def meaning(row: PreTokenizer) -> tuple[Any, ...]:
    """All that tells one name from another."""
    flags = (row.ignore_merges, row.add_bos, row.add_sep, row.has_bos, row.needs_merges)
    return (*row.patterns, *flags)


BY_BYTES = [name for name in NAMES if pretokenizer(name).byte_encode]


@pytest.mark.parametrize("name", BY_BYTES)
def test_each_row_by_its_own_patterns(name: str) -> None:
    """Found is a name that cuts alike, and whose flags are those of the file."""
    row = pretokenizer(name)
    described = files(
        [*split(*row.patterns), BYTES],
        BOS if row.has_bos else None,
        ignore_merges=row.ignore_merges,
    )
    if row.add_sep:
        described.tokenizer["post_processor"] = ROBERTA
    found = pretokenizer(find_pre(described).name)
    assert found.ignore_merges == row.ignore_merges
    assert found.add_sep == row.add_sep
    if row.ignore_merges:
        assert found.has_bos == row.has_bos
    if name != "minicpm5":  # its first pattern cuts nothing that Llama 3's would not
        assert found.patterns == row.patterns


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SIGN, END = r"[^\r\n\p{L}\p{N}]?", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
BEHIND_WORDS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = f"{SIGN}{UPPER}*{LOWER}+{END}|{SIGN}{UPPER}+{LOWER}*{END}|" + r"\p{N}{1,3}|" + BEHIND_WORDS
TEKKEN = f"{SIGN}{UPPER}*{LOWER}+|{SIGN}{UPPER}+{LOWER}*|" + r"\p{N}|" + BEHIND_WORDS
DEEPSEEK3 = (
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)


@pytest.mark.parametrize(
    ("name", "described"),
    [
        ("llama-bpe", files([*split(LLAMA3), BYTES], BOS, ignore_merges=True)),
        ("qwen2", files([*split(LLAMA3.replace("{1,3}", "")), BYTES])),
        ("gpt-4o", files([*split(GPT4O), BYTES])),
        ("gpt-4o", files([*split(GPT4O, behavior="Removed", invert=True), BYTES])),
        ("tekken", files([*split(TEKKEN), BYTES], BOS, ignore_merges=True)),
        ("deepseek-v3", files([*split(*DEEPSEEK3), BYTES], BOS)),
        ("starcoder", files([DIGITS, CUTTING_BYTES])),
        ("gpt-2", files([CUTTING_BYTES])),
        (
            "falcon",
            files(
                [
                    {"type": "Punctuation", "behavior": "Contiguous"},
                    CUTTING_BYTES,
                    *split("[0-9][0-9][0-9]"),
                ]
            ),
        ),
    ],
)
def test_as_models_on_the_hub_say_it(name: str, described: TokenizerFiles) -> None:
    assert find_pre(described).name == name


def test_what_no_name_stands_for() -> None:
    with pytest.raises(UnsupportedError, match="--pre"):
        find_pre(files([*split("[a-z]"), BYTES]))
    with pytest.raises(UnsupportedError, match="'Metaspace'"):
        find_pre(files([{"type": "Metaspace"}]))
    with pytest.raises(UnsupportedError, match="'MergedWithNext'"):
        find_pre(files(split("a", behavior="MergedWithNext")))


def test_broken_and_endless_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pre, "SECONDS", 0.1)
    with pytest.raises(InputError, match="no regular expression"):
        find_pre(files(split("(")))
    with pytest.raises(InputError, match="without a pattern"):
        find_pre(files([{"type": "Split"}]))
    with pytest.raises(InputError, match="takes too long"):
        find_pre(files(split(r"(\s|\s\s)+(\s|\s\s)+(\s|\s\s)+(\s|\s\s)+$z")))
