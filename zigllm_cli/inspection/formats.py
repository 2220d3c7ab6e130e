"""Metadata values as text and as JSON. Knows the types of GGUF, nothing of what keys mean."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any

from zigllm_cli.gguf import Array, Field, ValueType

SCHEMA = "zigllm.inspect/1"
"""Version of the JSON documents: a key is never renamed or retyped within one number."""

SHORT_TYPES = {
    ValueType.UINT8: "u8",
    ValueType.INT8: "i8",
    ValueType.UINT16: "u16",
    ValueType.INT16: "i16",
    ValueType.UINT32: "u32",
    ValueType.INT32: "i32",
    ValueType.FLOAT32: "f32",
    ValueType.BOOL: "bool",
    ValueType.STRING: "str",
    ValueType.ARRAY: "arr",
    ValueType.UINT64: "u64",
    ValueType.INT64: "i64",
    ValueType.FLOAT64: "f64",
}
"""Type names as `--type` reads them."""


def type_text(field: Field) -> str:
    """The type of an entry as `--type` would be given: `u32`, `arr:str`."""
    value = field.value
    if isinstance(value, Array):
        return f"arr:{SHORT_TYPES[value.element_type]}"
    return SHORT_TYPES[field.type]


def short_float(value: float, kind: ValueType) -> float:
    """A FLOAT32 as the shortest decimal that means it: 1e-06, not 9.999999974752427e-07."""
    if kind is not ValueType.FLOAT32 or not isfinite(value):
        return value
    packed = struct.pack("<f", value)
    for digits in range(6, 10):
        short = float(f"{value:.{digits}g}")
        if abs(short) < 3.5e38 and _packs_to(short, packed):
            return short
    return value


def _packs_to(value: float, packed: bytes) -> bool:
    try:
        return struct.pack("<f", value) == packed
    except OverflowError:
        return False


def plain(value: Any, kind: ValueType) -> Any:
    """A metadata value as Python's own types; arrays in full."""
    if isinstance(value, Array):
        return [plain(item, value.element_type) for item in value.tolist()]
    return short_float(value, kind) if isinstance(value, float) else value


def shortened(value: Any, kind: ValueType, count: int) -> Any:
    """Like `plain`, but of arrays only the first `count` elements."""
    if not isinstance(value, Array):
        return plain(value, kind)
    items: list[Any] = []
    for item in value:
        if len(items) == count:
            break
        items.append(shortened(item, value.element_type, count))
    return items


def scalar_text(value: Any) -> str:
    """A plain value on one line: `true`, `0.5`, text without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def item_text(value: Any) -> str:
    """A plain value inside a list: text in quotes, lists in brackets."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(item_text, value)) + "]"
    return scalar_text(value)


def document(view: str, content: Any) -> dict[str, Any]:
    """The JSON document of one view: schema and view, then the fields of `content`."""
    body = asdict(content) if is_dataclass(content) and not isinstance(content, type) else content
    return {"schema": SCHEMA, "view": view, **json_value(body)}


def json_value(value: Any) -> Any:
    """`value` as JSON may hold it: NaN and Infinity are null, broken bytes are U+FFFD."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, str):
        return value if value.isascii() else "".join(map(_json_character, value))
    if isinstance(value, dict):
        return {json_value(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return value


def _json_character(character: str) -> str:
    return "\ufffd" if "\ud800" <= character <= "\udfff" else character


def near_matches(name: str, names: Iterable[str]) -> list[str]:
    """Up to three of `names` that may have been meant by `name`."""
    known = list(names)
    parts = [text for text in known if name and name in text]
    found = get_close_matches(name, known, n=3) if len(known) <= 5000 else []
    return list(dict.fromkeys([*found, *parts]))[:3]


def did_you_mean(name: str, names: Iterable[str], otherwise: str) -> str:
    """The end of an error sentence about an unknown `name`."""
    near = near_matches(name, names)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else otherwise
