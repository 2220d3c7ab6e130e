"""Vocabularies of checkpoints that hold none: from the files that `--vocab-from` may name.

    a GGUF file     its tokenizer.* keys
    a folder        a Hugging Face tokenizer
    a pickle        nanoGPT's meta.pkl: {"itos": {id: character}}
    any text        its characters, numbered by code points, as minGPT and nanoGPT do

Characters are written as `tokenizer.ggml.model = rwkv`: the longest token at each place, over
bytes. So every character is one token, whatever its bytes, and the vocabulary has no token that the
model has not, such as an end of the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zigllm_cli.convert.conversion import Keys, Options
from zigllm_cli.convert.gguf_file import listed
from zigllm_cli.convert.hf.config import Config, read_object
from zigllm_cli.convert.hf.tokenizer import put_tokenizer
from zigllm_cli.convert.torch import read_plain_pickle
from zigllm_cli.errors import InputError, unreadable
from zigllm_cli.gguf import GGUFFile, ValueType, open_gguf
from zigllm_cli.tokenizers.vocabulary import TokenType

ESCAPES = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\"}

TOKENS, TYPES, SCORES = (f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "scores"))

UNUSED_SCORE = -1000.0

SURROGATE = re.compile("[\ud800-\udfff]")


def vocabulary_from(path: Path, rows: int) -> Keys:
    """The `tokenizer.*` keys that a file or folder gives.

    Args:
        rows: of the embedding table; a shorter vocabulary is filled up with unused tokens.

    Raises:
        InputError: it cannot be read, or has more tokens than the table has rows.
    """
    if path.is_dir():
        keys = _folder(path)
    else:
        try:
            with path.open("rb") as file:
                start = file.read(4)
        except OSError as error:
            raise unreadable(path, error) from None
        if start == b"GGUF":
            keys = vocabulary_of(open_gguf(path))
        elif start[:1] == b"\x80":
            keys = characters(_itos(read_plain_pickle(path), path))
        else:
            keys = characters(_characters_of(path))
    return filled(keys, rows, str(path))


def vocabulary_of(file: GGUFFile) -> Keys:
    """The tokenizer of a GGUF file, as it is there.

    Raises:
        InputError: it has none.
    """
    keys = Keys()
    for key, field in file.metadata.fields.items():
        if key.startswith("tokenizer."):
            keys.put(key, field.type, listed(field.value))
    if TOKENS not in keys.values:
        raise InputError(f"{file.path} has no vocabulary")
    return keys


def characters(tokens: Sequence[str]) -> Keys:
    """A vocabulary whose tokens are found by the longest match.

    Raises:
        InputError: a token that is empty, no text, or there twice.
    """
    for token in tokens:
        if not isinstance(token, str) or not token or SURROGATE.search(token):
            raise InputError(f"{token!r:.50} is a token of the vocabulary, but is no text")
    if len(set(tokens)) < len(tokens):
        raise InputError("a token of the vocabulary is there twice")
    keys = Keys()
    keys.text("tokenizer.ggml.model", "rwkv")
    keys.array(TOKENS, ValueType.STRING, [_escaped(token) for token in tokens])
    keys.array(TYPES, ValueType.INT32, [int(TokenType.NORMAL)] * len(tokens))
    return keys


def _escaped(token: str) -> str:
    """As RWKV's files spell tokens (`tokenizers.rwkv`)."""
    parts = []
    for character in token:
        if character in ESCAPES:
            parts.append(ESCAPES[character])
        elif character < " " or character == "\x7f":
            parts.append(f"\\x{ord(character):02x}")
        else:
            parts.append(character)
    return "".join(parts)


def filled(keys: Keys, rows: int, source: str) -> Keys:
    """The keys with as many tokens as the embedding table has rows; those that lack are unused.

    Raises:
        InputError: there are more tokens than rows.
    """
    tokens = list(keys.values[TOKENS][1])
    missing = rows - len(tokens)
    if missing < 0:
        raise InputError(
            f"the vocabulary of {source} has {len(tokens)} tokens, but the model only {rows}: it is"
            " another model's"
        )
    if missing:
        types = list(keys.values.get(TYPES, (None, [int(TokenType.NORMAL)] * len(tokens)))[1])
        names = [f"[PAD{number}]" for number in range(len(tokens), rows)]
        keys.array(TOKENS, ValueType.STRING, tokens + names)
        keys.array(TYPES, ValueType.INT32, types + [int(TokenType.UNUSED)] * missing)
        if SCORES in keys.values:
            scores = list(keys.values[SCORES][1])
            keys.array(SCORES, ValueType.FLOAT32, scores + [UNUSED_SCORE] * missing)
    return keys


def _itos(meta: Any, path: Path) -> list[str]:
    """Tokens by id, of nanoGPT's meta.pkl."""
    itos = meta.get("itos") if isinstance(meta, Mapping) else None
    if not isinstance(itos, Mapping) or set(itos) != set(range(len(itos))) or not itos:
        raise InputError(f"{path} has no table itos of tokens 0 and up: it is no meta.pkl")
    return [itos[number] for number in range(len(itos))]


def _characters_of(path: Path) -> list[str]:
    try:
        return sorted(set(path.read_text("utf-8")))
    except UnicodeDecodeError:
        raise InputError(
            f"{path} is no GGUF file, folder, pickle or UTF-8 text, of which --vocab-from makes a"
            " vocabulary"
        ) from None


def _folder(path: Path) -> Keys:
    """The tokenizer of a Hugging Face folder."""
    keys = Keys()
    config = Config(read_object(path / "config.json"), path / "config.json")
    put_tokenizer(keys, path, config, Options())
    if TOKENS not in keys.values:
        raise InputError(f"{path} has no tokenizer")
    return keys
