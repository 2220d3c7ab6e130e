"""The tokenizer of a file at a glance: its kind, its size, the tokens with a meaning.

Reads the keys only, in one pass over the vocabulary (20 ms for 150,000 tokens), and takes a
malformed tokenizer as it is; building a real one, and judging it, is left to others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from zigllm_cli.gguf import Array, GGUFFile, ValueType
from zigllm_cli.gguf.types import SCALAR_CODES
from zigllm_cli.inspection.formats import json_value
from zigllm_cli.tokenizers.vocabulary import KINDS, SPECIAL_KEYS, SPECIAL_TEXTS, TokenType

KIND_NAMES = {
    "llama": "SentencePiece",
    "gpt2": "byte pairs",
    "bert": "WordPiece",
    "t5": "unigram",
    "rwkv": "greedy trie",
    "plamo2": "Viterbi over bytes",
    "gemma4": "byte pairs with spaces as ▁",
    "whitespace": "words",
    "hybriddna": "byte pairs and DNA k-mers",
    "none": "none",
    "no_vocab": "none",
}
"""What people call the kinds of `tokenizer.ggml.model`."""

TYPE_NAMES = {
    TokenType.UNDEFINED: "undefined",
    TokenType.NORMAL: "normal",
    TokenType.UNKNOWN: "unknown",
    TokenType.CONTROL: "control",
    TokenType.USER_DEFINED: "user",
    TokenType.UNUSED: "unused",
    TokenType.BYTE: "byte",
}


@dataclass(frozen=True)
class SpecialToken:
    """One id with a meaning.

    Attributes:
        name: bos, eos, eot, pad, ... as in `SPECIAL_KEYS` of the vocabulary.
        text: None where the id lies outside the vocabulary.
        source: "key" of the file, "text" by which it was found, or "default" of the kind.
    """

    name: str
    id: int
    text: str | None
    source: str


@dataclass(frozen=True)
class TokenizerFacts:
    """What the keys say about the tokenizer.

    Attributes:
        model: `tokenizer.ggml.model`; pre: `tokenizer.ggml.pre`, "" where absent.
        size: number of tokens; merges: number of merges, None where the file has no list.
        adds: which of bos, eos, sep are put around a text.
    """

    model: str
    kind: str
    pre: str
    size: int
    merges: int | None
    adds: tuple[str, ...]
    special: tuple[SpecialToken, ...]


@dataclass(frozen=True)
class Token:
    """One line of `--vocab`.

    Attributes:
        type: name of the token's type, or its number where it has no name; None where unknown.
        text: as stored; bytes that are not UTF-8 are surrogate escapes.
    """

    id: int
    type: str | None
    score: float | None
    text: str

    def json(self) -> dict[str, Any]:
        """The token for a JSON document; `hex` holds what `text` cannot."""
        fields = {"id": self.id, "type": self.type, "score": self.score, "text": self.text}
        clean: dict[str, Any] = json_value(fields)
        if clean["text"] != self.text:
            clean["hex"] = self.text.encode("utf-8", "surrogateescape").hex()
        return clean


def array(file: GGUFFile, name: str, kinds: tuple[ValueType, ...]) -> Array | None:
    """The list `tokenizer.ggml.{name}`, if it is one with elements of these types."""
    value = file.metadata.get(f"tokenizer.ggml.{name}")
    return value if isinstance(value, Array) and value.element_type in kinds else None


TEXT = (ValueType.STRING,)
NUMBERS = tuple(kind for kind in SCALAR_CODES if kind is not ValueType.BOOL)


def tokenizer_facts(file: GGUFFile) -> TokenizerFacts | None:
    """What the keys say about the tokenizer, or None where the file has none."""
    model = file.metadata.get("tokenizer.ggml.model")
    if not isinstance(model, str):
        return None
    pre = file.metadata.get("tokenizer.ggml.pre")
    tokens, merges = array(file, "tokens", TEXT), array(file, "merges", TEXT)
    return TokenizerFacts(
        model=model,
        kind=KIND_NAMES.get(model, "unknown"),
        pre=pre if isinstance(pre, str) else "",
        size=len(tokens) if tokens is not None else 0,
        merges=None if merges is None else len(merges),
        adds=_added(file, model),
        special=tuple(special_tokens(file, model, tokens)),
    )


def _added(file: GGUFFile, model: str) -> tuple[str, ...]:
    defaults = KINDS.get(model)
    names = []
    for name in ("bos", "eos", "sep"):
        default = getattr(defaults, f"add_{name}", False)
        if file.metadata.get(f"tokenizer.ggml.add_{name}_token", default) is True:
            names.append(name)
    return tuple(names)


def special_ids(file: GGUFFile, model: str) -> dict[str, tuple[int, str]]:
    """Ids that keys or the kind's defaults name: name to (id, source), in or out of range."""
    found: dict[str, tuple[int, str]] = {}
    defaults = KINDS[model].ids if model in KINDS else {}
    for name, keys in SPECIAL_KEYS.items():
        if name in defaults:
            found[name] = defaults[name], "default"
        for key in keys:
            value = file.metadata.get(f"tokenizer.ggml.{key}")
            if isinstance(value, int) and not isinstance(value, bool):
                found[name] = value, "key"
    return found


def special_tokens(file: GGUFFile, model: str, tokens: Array | None) -> list[SpecialToken]:
    """All ids with a meaning, in the order of `SPECIAL_KEYS`; defaults only where they exist."""
    named = special_ids(file, model)
    texts, by_text = _find(tokens, {number for number, _ in named.values()}, file.byte_order)
    found = {
        name: SpecialToken(name, number, texts.get(number), source)
        for name, (number, source) in named.items()
        if source == "key" or number in texts
    }
    for name, known in SPECIAL_TEXTS.items():
        text = next((text for text in known if text in by_text), None)
        if name not in found and text is not None:
            found[name] = SpecialToken(name, by_text[text], text, "text")
    return [found[name] for name in SPECIAL_KEYS if name in found]


def _find(tokens: Array | None, ids: set[int], order: str) -> tuple[dict[int, str], dict[str, int]]:
    """The texts of `ids`, and the ids of those `SPECIAL_TEXTS` that occur.

    Only what looks like one of them is decoded: half the time of `tolist`, which would be most
    of the time of a whole summary.
    """
    by_id: dict[int, str] = {}
    by_text: dict[str, int] = {}
    if tokens is None:
        return by_id, by_text
    wanted = {text.encode() for known in SPECIAL_TEXTS.values() for text in known}
    lengths, firsts = {len(text) for text in wanted}, {text[0] for text in wanted}
    data, stop, length_at = tokens.tobytes(), 0, struct.Struct(order + "Q").unpack_from
    for number in range(len(tokens)):
        start = stop + 8
        length = length_at(data, stop)[0]
        stop = start + length
        if number in ids:
            by_id[number] = data[start:stop].decode("utf-8", "surrogateescape")
        if length in lengths and data[start] in firsts and data[start:stop] in wanted:
            by_text[data[start:stop].decode()] = number
    return by_id, by_text


def vocabulary(file: GGUFFile) -> Iterator[Token]:
    """Every token of the file, one by one."""
    tokens = array(file, "tokens", TEXT)
    if tokens is None:
        return
    types, scores = array(file, "token_type", NUMBERS), array(file, "scores", NUMBERS)
    rows = zip(tokens.tolist(), _endless(types), _endless(scores), strict=False)
    names = {int(kind): name for kind, name in TYPE_NAMES.items()}
    for number, (text, kind, score) in enumerate(rows):
        yield Token(number, None if kind is None else names.get(kind, str(kind)), score, text)


def _endless(values: Array | None) -> Iterator[Any]:
    if values is not None:
        yield from values.tolist()
    yield from repeat(None)
