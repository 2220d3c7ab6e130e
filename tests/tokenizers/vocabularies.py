"""Small random vocabularies as GGUF files, and texts to break tokenizers with.

Everything is made from a seed; no vocabulary of a real model is needed. The files are sane enough
for llama.cpp's loader, which ends the process over a duplicate token.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gguf import GGUFValueType, GGUFWriter

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPACE = "\u2581"
Rows = list[tuple[str, int, float]]
"""Text, type and score of each token."""

BLOCKS = (
    *(
        "a",
        "b",
        "ab",
        "abc",
        "the",
        "The",
        "THE",
        "hello",
        "world",
        "un",
        "able",
        "ing",
        "x1",
        "42",
    ),
    *("é", "É", "e\u0301", "ñ", "Å", "å", "ö", "ß", "ﬁ", "İ", "ı", "Σ", "ς", "ΟΔΟΣ", "ǅ", "Ω"),
    *(
        "при",
        "ВЕТ",
        "й",
        "и\u0306",
        "שלום",
        "ש\u05c1",
        "مرحبا",
        "ك\u064e",
        "नमस्ते",
        "ไทย",
        "한국",
        "각",
    ),
    *(
        "漢字",
        "仮名",
        "カ",
        "が",
        "か\u3099",
        "ｶﾞ",
        "！",
        "。",
        "豈",
        "\U00020000",
        "\U0002f800",
        "\U0002b820",
    ),
    *(
        "😀",
        "👩\u200d🚀",
        "🇩🇪",
        "\u2764\ufe0f",
        "①",
        "½",
        "²",
        "™",
        "…",
        "“",
        "”",
        "—",
        "€",
        "$",
        "±",
    ),
    *(" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\v", "\f", "\x85", "\xa0", "\u1680"),
    *(
        "\u2000",
        "\u2003",
        "\u2009",
        "\u2028",
        "\u202f",
        "\u3000",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\xad",
    ),
    *("\0", "\x01", "\x1b", "\x1c", "\x1f", "\x7f", "\x80", "\ufffd", "\ue000", "\uffff", "\u0378"),
    *(".", ",", "!", "?", "'", '"', "-", "_", "~", "`", "^", "<", ">", "|", "\\", "[CLS]", "##a"),
    *("\u0cf3", "\U00011b00", "\U00013440", "\ua7cb", "\U00010d50", "\u0897", SPACE, SPACE * 2),
    *(
        "<s>",
        "<mask>",
        "<sep>",
        "<0x41>",
        "\udcff",
        "\udce2\udc82",
        "\udcc1\udc81",
        "\udced\udca0\udc80",
    ),
)
"""Pieces of texts: scripts, accents, all kinds of blanks, controls, broken UTF-8."""

LETTERS = "abcdeéñЖжשكन漢字仮名한😀①ﬁ \n.,!<>"


def texts(seed: int, count: int) -> list[str]:
    """Random texts of up to some forty blocks, the empty one first."""
    rng = random.Random(seed)
    return [""] + [
        "".join(rng.choices(BLOCKS, k=rng.choice((1, 2, 3, 5, 10, 40)))) for _ in range(count)
    ]


def words(rng: random.Random, count: int) -> list[str]:
    """Different texts of one to four blocks or letters, as tokens may be; no broken UTF-8."""
    valid = [block for block in BLOCKS if not re.search("[\0<\ud800-\udfff]", block)]
    found: dict[str, None] = {}
    while len(found) < count:
        source = rng.choice((valid, LETTERS))
        word = "".join(rng.choices(source, k=rng.choice((1, 1, 2, 2, 3, 4)))).replace(" ", SPACE)
        found[rng.choice(("", "", SPACE)) + word] = None
    return list(found)


def write(path: Path, model: str, rows: Rows, **values: Any) -> Path:
    """A vocabulary-only GGUF file; `values` are further `tokenizer.ggml.*` keys."""
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list([text.encode() for text, _, _ in rows])
    writer.add_token_types([kind for _, kind, _ in rows])
    writer.add_token_scores([score for _, _, score in rows])
    for name, value in values.items():
        _add(writer, "tokenizer.ggml." + name.replace("__", "."), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, bytes):
        writer.add_key_value(key, list(value), GGUFValueType.ARRAY, sub_type=GGUFValueType.UINT8)
    else:
        writer.add_array(key, value)


def _unique(rows: Iterable[tuple[str, int, float]]) -> Rows:
    found: dict[str, tuple[str, int, float]] = {}
    for row in rows:
        found.setdefault(row[0], row)
    return list(found.values())


def _bytes() -> Rows:
    return [(f"<0x{byte:02X}>", BYTE, 0.0) for byte in range(256)]


def bert(path: Path, seed: int, **values: Any) -> Path:
    """`bert`: words with U+2581 and their continuations without."""
    rng = random.Random(seed)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = words(rng, 400) + [SPACE + c for c in "abcdehtxun.,!<42漢名"] + list("abcdehtlow1")
    rows = [(text, CONTROL, 0.0) for text in special]
    rows += [(text, rng.choice((NORMAL,) * 9 + (UNUSED,)), 0.0) for text in pieces]
    rows += [("<mask>", USER_DEFINED, 0.0)]
    ids = {"bos_token_id": 2, "seperator_token_id": 3, "unknown_token_id": 1}
    return write(path, "bert", _unique(rows), **{**ids, **values})


def t5(path: Path, seed: int, *, whole: bool = False, **values: Any) -> Path:
    """`t5`: scored pieces of all types; few distinct scores, so that ties are common.

    With `whole`, tokens cross the borders of words, and some score has no exact sums.
    """
    rng = random.Random(seed)
    kinds = (NORMAL,) * 16 + (USER_DEFINED, UNUSED, CONTROL)
    rows: Rows = [("<pad>", CONTROL, 0.0), ("</s>", CONTROL, 0.0), ("<unk>", UNKNOWN, 0.0)]
    pieces = [text for text in words(rng, 400) if whole or SPACE not in text.lstrip(SPACE)]
    rows += [(text, rng.choice(kinds), _score(rng)) for text in pieces]
    rows += [(text, NORMAL, _score(rng)) for text in (SPACE, *LETTERS.replace(" ", ""))]
    rows += [("zz", NORMAL, -1e-30)] if whole else []
    rows += [("<mask>", USER_DEFINED, 0.0), ("<sep>", USER_DEFINED, -3.0), ("<0x41>", BYTE, 0.0)]
    return write(path, "t5", _unique(rows), **values)


def _score(rng: random.Random) -> float:
    return rng.choice((-1.0, -2.0, -2.5, -3.0, -rng.uniform(1, 15)))


def rwkv(path: Path, seed: int, **values: Any) -> Path:
    """`rwkv`: all bytes, and words spelt with escapes."""
    rng = random.Random(seed)
    singles = [bytes([byte]) for byte in range(256)]
    longer = [word.replace(SPACE, " ").encode() for word in words(rng, 500)]
    longer += [b"\n\n", b"\t\t", b"\\n", b"\xe2\x82", b"\0\0", b"it's"]
    rows: Rows = [("<s>", CONTROL, 0.0)]
    rows += [(_escaped(text), NORMAL, 0.0) for text in (*singles, *longer)]
    rows += [("<mask>", USER_DEFINED, 0.0), (r"<s\x65p>", USER_DEFINED, 0.0)]
    return write(path, "rwkv", _unique(rows), **values)


def _escaped(text: bytes) -> str:
    names = {9: r"\t", 10: r"\n", 13: r"\r", 39: r"\'", 92: r"\\"}
    try:
        return "".join(
            names.get(ord(c), c) if c >= " " or ord(c) in names else f"\\x{ord(c):02x}"
            for c in text.decode()
        )
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in text)


def plamo2(path: Path, seed: int, **values: Any) -> Path:
    """`plamo2`: four special tokens, the bytes, then scored words; some cannot be used."""
    rng = random.Random(seed)
    rows: Rows = [(f"<|plamo:{name}|>", CONTROL, 0.0) for name in ("unk", "bos", "eos", "pad")]
    rows += _bytes()
    rows += [(text.replace(SPACE, " "), NORMAL, _score(rng)) for text in words(rng, 500)]
    rows += [("<mask>", USER_DEFINED, -1.0), ("the world", NORMAL, -2.0)]
    rows += [("ab c", NORMAL, -2500.0), ("abcab", NORMAL, float("inf")), ("aba", UNUSED, -0.5)]
    return write(path, "plamo2", _unique(rows), **values)


def byte_pair(path: Path, seed: int, model: str, more: Rows | None = None, **values: Any) -> Path:
    """A byte-pair vocabulary: byte characters, and random merges of what is there already."""
    rng = random.Random(seed)
    symbols = [chr(c) for c in (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x144))]
    merges: dict[str, str] = {}
    common = [c for c in symbols if c in "abcdehtlownACGT<>/0é"] + ["Ġ", "Ã", "©", "æ", "ĩ"]
    while len(merges) < 200:
        left, right = rng.choice(common), rng.choice(common)
        if left + right not in merges.values() and len(left + right) < 9:
            merges[f"{left} {right}"] = left + right
            common.append(left + right)
    rows: Rows = [("<|endoftext|>", CONTROL, 0.0)]
    rows += [(text, NORMAL, 0.0) for text in (*symbols, *merges.values())]
    rows += [("<mask>", USER_DEFINED, 0.0), *(more or [])]
    defaults = {"merges": list(merges), "pre": "gpt-2", "bos_token_id": 0, "eos_token_id": 0}
    return write(path, model, _unique(rows), **{**defaults, **values})


def whitespace(path: Path, seed: int, **values: Any) -> Path:
    """`whitespace`."""
    return byte_pair(path, seed, "whitespace", **values)


def hybriddna(path: Path, seed: int, tags: bool = True, **values: Any) -> Path:
    """`hybriddna`: one in three 6-mers is known; `tags`: whether `<dna>` and the others are."""
    rng = random.Random(seed)
    names = ["<dna>", "</dna>", "<oov>"] if tags else ["<dna>"]
    mers = {"".join(rng.choices("ACGT", k=6)) for _ in range(1400)} | {"CCCCCC", "ACAAAA", "ACGTAC"}
    more: Rows = [(name, NORMAL, 0.0) for name in names]
    more += [(mer + "\ue000", NORMAL, 0.0) for mer in sorted(mers)]
    return byte_pair(path, seed, "hybriddna", more, **values)


KINDS: dict[str, Callable[..., Path]] = {
    "bert": bert,
    "t5": t5,
    "rwkv": rwkv,
    "plamo2": plamo2,
    "whitespace": whitespace,
    "hybriddna": hybriddna,
}
