"""llama2.c's tokenizer.bin: length of the longest token; for each: score, length, bytes."""

from __future__ import annotations

import struct
from pathlib import Path

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.vocabularies import SCORES, TOKENS, TYPES
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import ValueType
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType

TOKENIZER_LIMIT = 64 << 20
BYTE_TOKENS = range(3, 259)


def read_tokenizer(path: Path, rows: int) -> Keys:
    """The vocabulary of a tokenizer.bin: SentencePiece's, its spaces written out.

    Args:
        rows: tokens that the model has; the file does not say how many there are.

    Raises:
        InputError: it is damaged.
    """
    if path.stat().st_size > TOKENIZER_LIMIT:
        raise InputError(f"{path} has more than {TOKENIZER_LIMIT >> 20} MB, which no tokenizer has")
    data, place = path.read_bytes(), 4
    tokens: list[str] = []
    scores: list[float] = []
    while place < len(data) and len(tokens) < rows:
        if place + 8 > len(data):
            raise InputError(f"{path} is cut short")
        score, length = struct.unpack_from("<fi", data, place)
        place += 8
        if not 0 <= length <= len(data) - place:
            raise InputError(f"{path} is damaged: its token {len(tokens)} has {length} bytes")
        text = data[place : place + length].decode("utf-8", "surrogateescape")
        tokens.append(_piece(len(tokens), text))
        scores.append(score)
        place += length
    if len(tokens) < BYTE_TOKENS.stop:
        raise InputError(
            f"{path} has only {len(tokens)} tokens: bytes alone need {BYTE_TOKENS.stop}"
        )
    kinds = {0: TokenType.UNKNOWN, 1: TokenType.CONTROL, 2: TokenType.CONTROL}
    kinds |= dict.fromkeys(BYTE_TOKENS, TokenType.BYTE)
    keys = Keys()
    keys.text("tokenizer.ggml.model", "llama")
    keys.array(TOKENS, ValueType.STRING, tokens)
    keys.array(SCORES, ValueType.FLOAT32, scores)
    types = [int(kinds.get(number, TokenType.NORMAL)) for number in range(len(tokens))]
    keys.array(TYPES, ValueType.INT32, types)
    for name, number in (("bos", 1), ("eos", 2), ("unknown", 0)):
        keys.u32(f"tokenizer.ggml.{name}_token_id", number)
    keys.flag("tokenizer.ggml.add_bos_token", True)
    keys.flag("tokenizer.ggml.add_eos_token", False)
    keys.flag("tokenizer.ggml.add_space_prefix", True)
    return keys


def _piece(number: int, text: str) -> str:
    """As SentencePiece spells it: the file has lines around BOS and EOS, and real spaces."""
    if number in (1, 2):
        return ("<s>", "</s>")[number - 1]
    return text.replace(" ", SPACE)
