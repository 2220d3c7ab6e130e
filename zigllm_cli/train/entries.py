"""Python values as metadata entries of a GGUF file."""

from __future__ import annotations

from typing import Any

from zigllm_cli.gguf.entry import Entry, TypedList
from zigllm_cli.gguf.types import ValueType

ALONE = {
    str: ValueType.STRING,
    bool: ValueType.BOOL,
    int: ValueType.UINT32,
    float: ValueType.FLOAT32,
}
IN_LISTS = {str: ValueType.STRING, int: ValueType.INT32, float: ValueType.FLOAT32}


def entry_of(key: str, value: Any) -> Entry:
    """An entry in the type that files usually have; an empty list is one of texts."""
    if isinstance(value, list):
        kind = IN_LISTS[type(value[0]) if value else str]
        return Entry.make(key, ValueType.ARRAY, TypedList(kind, value))
    return Entry.make(key, ALONE[type(value)], value)
