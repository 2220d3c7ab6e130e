"""Change the metadata of a model: `key=value` settings to entries, and the copy that holds them.

    entries = edited_entries(file, ["general.name=Mine"], unset=["general.url"], type_name=None)
    copy_gguf(file, "new.gguf", entries)

Tensors are copied as they are; a changed `general.alignment` moves them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Any

from zigllm_cli.errors import InputError, UsageError, reason_of
from zigllm_cli.gguf.entry import Entry, TypedList
from zigllm_cli.gguf.model_file import GGUFFile
from zigllm_cli.gguf.reader import Field, align
from zigllm_cli.gguf.types import ValueType
from zigllm_cli.gguf.values import Array
from zigllm_cli.gguf.writer import SPLIT_KEYS, Progress, TensorPlan, write_gguf

Kinds = tuple[ValueType, ...]
"""A value's type from the outside in: (UINT32,), (ARRAY, STRING), (ARRAY, ARRAY, INT32)"""

SHORT_NAMES = {
    "str": ValueType.STRING,
    "bool": ValueType.BOOL,
    "u8": ValueType.UINT8,
    "i8": ValueType.INT8,
    "u16": ValueType.UINT16,
    "i16": ValueType.INT16,
    "u32": ValueType.UINT32,
    "i32": ValueType.INT32,
    "u64": ValueType.UINT64,
    "i64": ValueType.INT64,
    "f32": ValueType.FLOAT32,
    "f64": ValueType.FLOAT64,
}
TYPE_NAMES = (
    {kind.name.lower(): kind for kind in ValueType} | SHORT_NAMES | {"arr": ValueType.ARRAY}
)

INTEGER_RANGES = (
    (ValueType.UINT32, 0, 2**32),
    (ValueType.INT32, -(2**31), 2**31),
    (ValueType.UINT64, 0, 2**64),
    (ValueType.INT64, -(2**63), 2**63),
)

# Engines refuse a key of another type, and here the look of the value would mislead:
# rope.freq_base=10000 is a float, general.version=1.0 a text.
TEXT_KEYS = re.compile(
    r"general\.(architecture|type|name|author|version|organization|basename|finetune|description"
    r"|quantized_by|size_label|url|doi|uuid|repo_url|license(\..+)?|source\..+"
    r"|(base_model|dataset)\.\d+\..+)"
    r"|tokenizer\.(chat_template(\..+)?|ggml\.model|ggml\.pre)|.+\.rope\.scaling\.type"
)
FLOAT_KEYS = re.compile(
    r".+(\.rope\.freq_base(_swa)?|\.rope\.scaling\.\w*factor|_epsilon|_softcapping|_scale"
    r"|\.attention\.(scale|max_alibi_bias|clamp_kqv))"
)
INTEGER = re.compile(r"[+-]?\d+")
DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d+)?")


def edited_entries(
    file: GGUFFile, sets: list[str], unset: list[str], type_name: str | None = None
) -> list[Entry]:
    """The metadata of `file` with some keys set and others removed, ready to be written.

    A key that exists keeps its place, and its type unless `type_name` is given; a new one goes to
    the end, its type guessed from the value. The value `@FILE` is the content of a text file, a
    leading `@@` stands for one `@`. Lists are written in JSON.

    Args:
        sets: `key=value` each.
        unset: keys to remove.
        type_name: type of every value in `sets`: str, u32, f32, bool, arr:u32, arr:str, ...

    Raises:
        UsageError: no such key or type, or a value that does not fit.
        InputError: the `@FILE` cannot be read.
    """
    kinds = None if type_name is None else parse_type(type_name)
    fields, layout = file.metadata.fields, file.headers[0].layout
    new: dict[str, Entry] = {}
    for setting in sets:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"{setting!r} is not a setting; write key=value")
        _check_settable(key, key in new or key in unset)
        new[key] = _entry(key, text, kinds, fields.get(key))
    for key in unset:
        if key not in fields:
            raise UsageError(f"there is no key {key!r} to remove{_near(key, list(fields))}")
    entries = [
        new.pop(key) if key in new else Entry.copy(field, layout)
        for key, field in fields.items()
        if key not in unset
    ]
    return entries + list(new.values())


def copy_gguf(
    file: GGUFFile,
    path: str | os.PathLike[str],
    entries: list[Entry] | None = None,
    *,
    order: str | None = None,
    split_max_bytes: int | None = None,
    split_max_tensors: int | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write a model again, with other metadata, merged into one file or split; returns the files.

    Without changes a whole file is reproduced byte for byte, as far as it keeps to the
    specification: tensors in the order of their descriptions, zeros between them.
    `write_gguf` tells the options and errors.
    """
    if entries is None:
        entries = edited_entries(file, [], [])
    if len(file.paths) > 1:
        entries = [entry for entry in entries if entry.key not in SPLIT_KEYS]
    return write_gguf(
        path,
        entries,
        [TensorPlan.copy(tensor) for tensor in file.tensors.values()],
        version=file.version,
        order=order or file.byte_order,
        pad_end=_is_padded(file),
        split_max_bytes=split_max_bytes,
        split_max_tensors=split_max_tensors,
        inputs=file.paths,
        progress=progress,
    )


def parse_type(name: str) -> Kinds:
    """The type of this name, in any case: `u32`, `UINT32`, `str`, `arr:f32`, `arr:arr:i32`.

    Raises:
        UsageError: no such type, or an array that does not tell its elements.
    """
    kinds = tuple(TYPE_NAMES.get(part) for part in name.strip().lower().split(":"))
    found = tuple(kind for kind in kinds if kind is not None)
    outer, last = found[:-1], found[-1:]
    if found != kinds or last == (ValueType.ARRAY,) or set(outer) - {ValueType.ARRAY}:
        known = ", ".join(SHORT_NAMES)
        raise UsageError(f"unknown type {name!r}; use one of {known}, or arr:TYPE for a list")
    return found


def _is_padded(file: GGUFFile) -> bool:
    """Whether the file goes on to the next multiple of its alignment behind the last tensor."""
    header = file.headers[-1]
    records = header.tensors.values()
    if not records:
        return header.layout.size >= header.data_start
    stop = max(offset + nbytes for _, _, _, offset, nbytes in records)
    return header.layout.size >= header.data_start + align(stop, header.alignment)


def _check_settable(key: str, is_named_twice: bool) -> None:
    if key in SPLIT_KEYS:
        raise UsageError(f"{key} describes the files of a split model and cannot be set")
    if is_named_twice:
        raise UsageError(f"{key!r} is to be changed twice; name each key once")


def _near(key: str, keys: list[str]) -> str:
    near = difflib.get_close_matches(key, keys)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _entry(key: str, text: str, kinds: Kinds | None, field: Field | None) -> Entry:
    is_from_file = text.startswith("@") and not text.startswith("@@")
    if is_from_file:
        text = _read_text(Path(text[1:]))
    elif text.startswith("@@"):
        text = text[1:]
    kinds = kinds or (field and _kinds(field)) or _guess(key, text, is_from_file)
    return Entry.make(key, kinds[0], _parse(key, kinds, text))


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        reason = reason_of(error)
        raise InputError(
            f"cannot read {path}: {reason}; a value that begins with @ names a file, @@ is an @"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8") from None


def _kinds(field: Field) -> Kinds | None:
    """The type of an existing value; None for nested arrays too empty to tell."""
    kinds, value = [field.type], field.value
    while isinstance(value, Array):
        kinds.append(value.element_type)
        value = next(iter(value), None)
    return None if kinds[-1] is ValueType.ARRAY else tuple(kinds)


def _guess(key: str, text: str, is_from_file: bool) -> Kinds:
    if is_from_file or TEXT_KEYS.fullmatch(key):
        return (ValueType.STRING,)
    if FLOAT_KEYS.fullmatch(key) and DECIMAL.fullmatch(text):
        return (ValueType.FLOAT32,)
    if text.lower() in ("true", "false"):
        return (ValueType.BOOL,)
    if INTEGER.fullmatch(text) and len(text) < 100:
        return (_integer_kind([int(text)]),)
    if DECIMAL.fullmatch(text):
        return (ValueType.FLOAT32,)
    if text.startswith("[") and isinstance(items := _json(text), list):
        return (ValueType.ARRAY, *_guess_items(items))
    return (ValueType.STRING,)


def _guess_items(items: list[Any]) -> Kinds:
    types = {type(item) for item in items}
    if types == {str}:
        return (ValueType.STRING,)
    if types == {bool}:
        return (ValueType.BOOL,)
    if types == {int}:
        return (_integer_kind(items),)
    if types in ({float}, {int, float}):
        return (ValueType.FLOAT32,)
    if types == {list}:
        return (ValueType.ARRAY, *_guess_items([item for inner in items for item in inner]))
    raise UsageError(f"cannot tell the type of the elements of {items!r:.60}; give --type arr:TYPE")


def _integer_kind(numbers: list[int]) -> ValueType:
    for kind, start, stop in INTEGER_RANGES:
        if all(start <= number < stop for number in numbers):
            return kind
    raise UsageError(f"no GGUF type holds numbers as large as {max(numbers, key=abs)}")


def _parse(key: str, kinds: Kinds, text: str) -> Any:
    kind = kinds[0]
    if kind is ValueType.STRING:
        return text
    if kind is ValueType.ARRAY:
        return _typed_list(key, kinds[1:], _json(text))
    if kind is ValueType.BOOL:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{key}: {text!r:.60} is not true or false")
        return text.lower() == "true"
    is_float = kind in (ValueType.FLOAT32, ValueType.FLOAT64)
    try:
        return float(text) if is_float else int(text, 16 if text[:2] == "0x" else 10)
    except ValueError:
        raise UsageError(f"{key}: {text!r:.60} is not a number of type {kind.name}") from None


def _typed_list(key: str, kinds: Kinds, items: Any) -> TypedList:
    if not isinstance(items, list):
        raise UsageError(f'{key}: a list in JSON is needed, such as [1, 2] or ["a"]')
    if kinds[0] is ValueType.ARRAY:
        items = [_typed_list(key, kinds[1:], item) for item in items]
    return TypedList(kinds[0], items)


def _json(text: str) -> Any:
    """The parsed JSON, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
