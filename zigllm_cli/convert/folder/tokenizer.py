"""A file's tokenizer as transformers' files: SentencePiece's model, or tokenizer.json."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from zigllm_cli.convert.conversion import Conversion
from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers.pretokenizers import PreTokenizer, pretokenizer
from zigllm_cli.tokenizers.vocabulary import TokenType, Vocabulary

SPECIALS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
}


def tokenizer_files(model: Conversion) -> Iterator[tuple[str, bytes]]:
    """Names and contents; none where the file has no tokenizer, or one without a way back."""
    kind = model.metadata.get("tokenizer.ggml.model")
    if kind not in ("llama", "gpt2"):
        return
    _check(model)
    if kind == "llama":
        yield "tokenizer.model", sentence_pieces(model)
        name = "GemmaTokenizer" if model.architecture.startswith("gemma") else "LlamaTokenizer"
    else:
        yield "tokenizer.json", _json(byte_level(model))
        name = "PreTrainedTokenizerFast"
    yield "tokenizer_config.json", _json(_config(model, name))


def _check(model: Conversion) -> None:
    """Whether every token has a type, and ids are those of tokens.

    Raises:
        InputError: not so.
    """
    vocabulary = Vocabulary(model.metadata)
    types = _get(model, "token_type")
    if types is None or len(types) != len(vocabulary.tokens):
        raise InputError(
            f"{model.paths[0]} has {len(vocabulary.tokens)} tokens, but not a type for each;"
            " zigllm inspect --check tells more"
        )
    for key in SPECIALS.values():
        number = _get(model, key, 0)
        if not isinstance(number, int) or not 0 <= number < max(len(types), 1):
            raise InputError(f"{model.paths[0]}: {key} is {number!r:.40}, which is no token")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogateescape")


def _get(model: Conversion, name: str, default: Any = None) -> Any:
    return model.metadata.get(f"tokenizer.ggml.{name}", default)


def _config(model: Conversion, tokenizer_class: str) -> dict[str, Any]:
    tokens = _get(model, "tokens")
    config: dict[str, Any] = {"tokenizer_class": tokenizer_class}
    for kind, key in SPECIALS.items():
        number = _get(model, key)
        if number is None and kind == "unk" and TokenType.UNKNOWN in _get(model, "token_type", ()):
            number = _get(model, "token_type").index(TokenType.UNKNOWN)
        if number is not None and number < len(tokens):
            config[f"{kind}_token"] = tokens[number]
    for flag in ("add_bos_token", "add_eos_token", "add_prefix_space"):
        value = _get(model, flag.replace("prefix_space", "space_prefix"))
        if value is not None:
            config[flag] = value
    template = model.metadata.get("tokenizer.chat_template")
    return config | ({"chat_template": template} if template else {})


# ------------------------------------------------------------------ SentencePiece


def sentence_pieces(model: Conversion) -> bytes:
    """`tokenizer.model`: sentencepiece_model.proto, as far as readers of it look."""
    tokens, types = _get(model, "tokens"), _get(model, "token_type")
    scores = _get(model, "scores") or [0.0] * len(tokens)
    pieces = b"".join(map(_piece, tokens, scores, types))
    trainer = _int(3, 2) + _int(4, len(tokens)) + _int(35, int(TokenType.BYTE in types))
    trainer += _int(40, types.index(TokenType.UNKNOWN) if TokenType.UNKNOWN in types else 0)
    trainer += _int(41, _get(model, "bos_token_id", 1)) + _int(42, _get(model, "eos_token_id", 2))
    prefix = _get(model, "add_space_prefix", True)
    normalizer = _field(1, b"identity") + _int(3, int(prefix)) + _int(4, 0)
    return pieces + _field(2, trainer) + _field(3, normalizer)


def _piece(text: str, score: float, kind: int) -> bytes:
    word = _field(1, text.encode("utf-8", "surrogateescape"))
    return _field(1, word + _float(2, score) + _int(3, kind))


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # as protobuf writes numbers below 0
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + struct.pack("<f", value)


# ------------------------------------------------------------------ byte-level BPE


def byte_level(model: Conversion) -> dict[str, Any]:
    """`tokenizer.json` of a byte-level tokenizer."""
    tokens, types = _get(model, "tokens"), _get(model, "token_type")
    row = pretokenizer(_get(model, "pre"))
    added = [
        {
            "id": index,
            "content": tokens[index],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == TokenType.CONTROL,
        }
        for index, kind in enumerate(types)
        if kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
    ]
    left_out = (TokenType.UNUSED, TokenType.USER_DEFINED)
    vocab = {
        text: index
        for index, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind not in left_out
    }
    bytes_alone = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _steps(row, bytes_alone)},
        "post_processor": _processor(model, bytes_alone),
        "decoder": bytes_alone | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": row.ignore_merges,
            "vocab": vocab,
            "merges": _get(model, "merges", []),
        },
    }


def _steps(row: PreTokenizer, bytes_alone: dict[str, Any]) -> list[dict[str, Any]]:
    """The patterns of the row, then bytes; GPT-2's own pattern has a step of its own."""
    if row.patterns == pretokenizer("gpt-2").patterns:
        return [bytes_alone | {"use_regex": True}]
    splits = [
        {"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False}
        for p in row.patterns
    ]
    return [*splits, bytes_alone | {"use_regex": False}]


def _processor(model: Conversion, bytes_alone: dict[str, Any]) -> dict[str, Any]:
    """What puts BOS in front, where the file wants that."""
    bos = _get(model, "bos_token_id")
    if not _get(model, "add_bos_token", False) or bos is None:
        return bytes_alone | {"use_regex": True}
    text = _get(model, "tokens")[bos]
    first = {"SpecialToken": {"id": text, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            first,
            {"Sequence": {"id": "A", "type_id": 0}},
            first,
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {text: {"id": text, "ids": [bos], "tokens": [text]}},
    }
