"""Find `tokenizer.ggml.pre`: which row of GGUF's table cuts text as a tokenizer.json does.

Names are compared by what they do: the steps of the file's own `pre_tokenizer` cut a text on which
all rows of the table differ, and the row that cuts it alike is the one. The rows' patterns know
upper and lower case in ASCII alone, as llama.cpp's engine does, so the text has no other case.
Where rows cut alike, what else the file says decides: whether whole words are taken without
merging, and what is put around a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import regex

from zigllm_cli.convert.hf.tokenizer.files import TokenizerFiles
from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.tokenizers.pretokenizers import NAMES, PreTokenizer, pretokenizer

PROBE = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \nHello  world, it's 3 o'clock: I'Ve told "
    "HE'LL you'd 'tis 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 $5+4=9^2~|x|<y>`z` "
    'foo_bar camelCase PascalCase HTTPServer x2y3 v1.2.3 (a)[b]{c}"d"!!!??? ...\n\n\t  end /* c '
    "*/ //e\r\n\r\n你好 世界，我想在apple工作1314151天。 日本語のテキスト カタカナ 한국어 조선 "
    "१२३ ½² ① “q” ‘r’ … — a-b a--b ------====== \u3000x\u00a0y 🚀🦙🦙 é naïve\n/\n//\nwe'really\n"
    "                    deep   \n   #!%&*@;:,. 'sss 'S 'T x's y'LL 12's IMGIMGABCZ "
    "<sentinel:12> " + " " * 70 + "x" + " " * 600 + "y ,!? «z» a  bc ㄅㄆ ！！ 12,345.67 1234567 "
    "a1b22c333 \r x\ny"
)
MARKS = "ভাষা ไทย កាន់តែ e\u0301 b\u0300c नमस्ते"
"""Letters with marks that combine: some rows cut there where their models do not."""

SECONDS = 2.0
"""A pattern that takes longer on the probe is not one to trust."""

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What ByteLevel cuts by where it cuts."""

PUNCTUATION = r"[\p{P}$+<=>^~|`]"
"""tokenizers' Punctuation: Unicode's, and the ASCII signs that Unicode calls symbols."""

PREFERRED = (
    *("gpt-2", "llama-bpe", "dbrx", "glm4", "qwen2", "gpt-4o", "tekken", "deepseek-v3"),
    *("starcoder", "bloom", "falcon"),
)
"""Names to prefer among those that mean the same."""

CLASSES = {"GPT2Tokenizer": "gpt-2", "CodeGenTokenizer": "gpt-2", "Qwen2Tokenizer": "qwen2"}
"""Classes of transformers that cut text by a pattern of their own."""

Cut = Callable[[str], list[str]]


@dataclass(frozen=True)
class Found:
    """A name, and what the user should know of how it was found."""

    name: str
    notes: tuple[str, ...] = ()


def find_pre(files: TokenizerFiles) -> Found:
    """The name for a byte-level tokenizer.

    Raises:
        InputError: a pattern that is broken, or takes too long.
        UnsupportedError: no name cuts text as this tokenizer does.
    """
    if not files.tokenizer:
        return _by_class(str(files.config.get("tokenizer_class", "")))
    pieces, marks = (split_as(files.tokenizer, text) for text in (PROBE, MARKS))
    alike = {name: at == marks for name, (row, at) in rows().items() if row == pieces}
    if not alike:
        raise UnsupportedError(
            f"{files.folder}/tokenizer.json cuts text in a way that no name of GGUF stands for; "
            "choose the nearest with --pre (gpt-2, llama-bpe, qwen2, ...)"
        )
    return Found(_best(alike, files))


def _by_class(tokenizer_class: str) -> Found:
    """By the class that cuts text in code, where no tokenizer.json tells how."""
    name = CLASSES.get(tokenizer_class.removesuffix("Fast"))
    if name is not None:
        return Found(name)
    note = "the folder does not say how text is cut before merging; GPT-2's way is assumed: --pre"
    return Found("gpt-2", (note,))


@cache
def rows() -> dict[str, tuple[list[str], list[str]]]:
    """How every name of a tokenizer that works on bytes cuts the probe, and the marks."""
    table = {name: pretokenizer(name) for name in NAMES}
    table = {name: row for name, row in table.items() if row.byte_encode}
    by_patterns = {row.patterns: row for row in table.values()}
    pieces = {
        patterns: (row.split(PROBE), row.split(MARKS)) for patterns, row in by_patterns.items()
    }
    return {name: pieces[row.patterns] for name, row in table.items()}


def _best(names: dict[str, bool], files: TokenizerFiles) -> str:
    """Of names that cut alike (and marks too, or not) the one whose other flags fit best."""
    whole_words = bool(files.model.get("ignore_merges"))
    processors = str(files.tokenizer.get("post_processor"))
    has_bos = files.token_text("bos") is not None or files.token_text("cls") is not None

    def misfit(name: str) -> tuple[int, bool, int]:
        row: PreTokenizer = pretokenizer(name)
        wrong = [
            row.ignore_merges != whole_words,
            row.add_sep != ("RobertaProcessing" in processors),
            row.add_bos and not has_bos,
            not row.has_bos and has_bos,
        ]
        place = PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)
        return sum(wrong), not names[name], place

    return min(names, key=misfit)


# ------------------------------------------------------------------ the file's own steps


def split_as(tokenizer: dict[str, Any], text: str) -> list[str]:
    """The words that a tokenizer.json's `pre_tokenizer` makes of a text, before bytes are written.

    Raises:
        InputError: a pattern that is broken, or takes too long.
        UnsupportedError: a step that has no counterpart.
    """
    pieces = [text]
    for cut in _cuts(tokenizer.get("pre_tokenizer")):
        pieces = [part for piece in pieces for part in cut(piece) if part]
    return pieces


def _cuts(node: Any) -> Iterator[Cut]:
    kind = node.get("type") if isinstance(node, dict) else None
    if kind == "Sequence":
        for step in node.get("pretokenizers") or ():
            yield from _cuts(step)
    elif kind == "ByteLevel":
        if node.get("use_regex", True):
            yield _by_pattern(GPT2)
    elif kind == "Split":
        yield _split(node)
    elif kind == "Digits":
        yield _by_pattern(r"\p{N}" if node.get("individual_digits") else r"\p{N}+")
    elif kind == "Punctuation":
        behaviour = node.get("behavior", "Isolated")
        yield _by_pattern(PUNCTUATION + ("+" if behaviour == "Contiguous" else ""))
    elif kind is not None:
        raise UnsupportedError(
            f"the tokenizer cuts text by {kind!r:.40}, which byte-level tokenizers of GGUF do not; "
            "choose a name with --pre"
        )


def _split(node: dict[str, Any]) -> Cut:
    """A Split step: matches become words of their own, or (inverted) what lies between them."""
    pattern = node.get("pattern")
    if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
        source = pattern["Regex"]
    elif isinstance(pattern, dict) and isinstance(pattern.get("String"), str):
        source = regex.escape(pattern["String"])
    else:
        raise InputError("tokenizer.json has a Split without a pattern")
    behaviour, inverted = node.get("behavior", "Isolated"), bool(node.get("invert"))
    if behaviour == "Isolated" or (behaviour == "Removed" and inverted):
        return _by_pattern(source)
    raise UnsupportedError(
        f"the tokenizer cuts text with the behaviour {behaviour!r:.40}, which GGUF's do not; "
        "choose a name with --pre"
    )


def _by_pattern(source: str) -> Cut:
    """Matches, and what lies between them, in order."""
    try:
        pattern = regex.compile(source, regex.V1)
    except (regex.error, RecursionError, OverflowError):
        raise InputError(f"tokenizer.json: {source!r:.80} is no regular expression") from None

    def cut(text: str) -> list[str]:
        pieces, place = [], 0
        try:
            for match in pattern.finditer(text, timeout=SECONDS):
                pieces += [text[place : match.start()], match[0]]
                place = match.end()
        except TimeoutError:
            raise InputError(f"tokenizer.json: {source!r:.80} takes too long") from None
        return [*pieces, text[place:]]

    return cut
