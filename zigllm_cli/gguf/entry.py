"""Metadata entries to be written: values to bytes, in either byte order.

The counterpart of `values`. A value that was read and is written again unchanged stays as the
bytes it was, so that nothing is lost on the way (not even the payload of a NaN).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zigllm_cli.errors import UsageError
from zigllm_cli.gguf.reader import MAX_NAME, Field, quoted
from zigllm_cli.gguf.types import SCALAR_CODES, ValueType
from zigllm_cli.gguf.values import MAX_NESTING, Array, Layout


@dataclass(frozen=True, slots=True)
class TypedList:
    """An array to be written. The items of an ARRAY of arrays are `TypedList`s or `Array`s."""

    element_type: ValueType
    items: Sequence[Any]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Entry:
    """One metadata entry to be written.

    Attributes:
        payload: the value as it lies in a file of byte order `order`.
    """

    key: str
    type: ValueType
    payload: bytes | memoryview
    order: str = "<"

    @classmethod
    def make(cls, key: str, kind: ValueType, value: Any) -> Entry:
        """An entry for a new value.

        Raises:
            UsageError: GGUF cannot hold this key, or the value as this type.
        """
        if not key or not key.isprintable() or len(key.encode(errors="replace")) > MAX_NAME:
            raise UsageError(f"{quoted(key)} cannot be a metadata key: use 1 to {MAX_NAME} letters")
        try:
            return cls(key, kind, encode_value(kind, value, "<"))
        except UsageError as error:
            raise UsageError(f"{key}: {error}") from None

    @classmethod
    def copy(cls, field: Field, layout: Layout) -> Entry:
        """The entry of a file that was read, its value left where it is until it is written."""
        payload = memoryview(layout.buffer)[field.start : field.stop]
        return cls(field.key, field.type, payload, layout.order)

    def encoded(self, order: str) -> bytes | memoryview:
        """The value's bytes in this byte order."""
        if order == self.order:
            return self.payload
        return b"".join(_swapped(Layout(bytes(self.payload), self.order), self.type, 0))


def encode_value(kind: ValueType, value: Any, order: str) -> bytes:
    """A metadata value as it lies in a file of byte order `order`; its type is not included.

    Args:
        value: bool, int, float or str, as `kind` asks for; for ARRAY a `TypedList` or an `Array`.

    Raises:
        UsageError: the value does not fit in the type.
    """
    return _encode(kind, value, order, 0)


def _encode(kind: ValueType, value: Any, order: str, depth: int) -> bytes:
    if kind is ValueType.STRING:
        return encode_text(value, order)
    if kind is not ValueType.ARRAY:
        return _scalar(kind, value, order)
    if not isinstance(value, Array | TypedList):
        raise UsageError(f"a list is needed, not {_shown(value)}")
    if depth >= MAX_NESTING:
        raise UsageError(f"lists can be nested {MAX_NESTING} levels deep at most")
    head = struct.pack(order + "IQ", value.element_type, len(value))
    return head + b"".join(_encode(value.element_type, item, order, depth + 1) for item in value)


def encode_text(value: Any, order: str) -> bytes:
    """A string with its length in front; surrogate escapes become the bytes they stand for."""
    if not isinstance(value, str):
        raise UsageError(f"a text is needed, not {_shown(value)}")
    try:
        data = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"{quoted(value)} holds half a surrogate pair, not text") from None
    return struct.pack(order + "Q", len(data)) + data


def _scalar(kind: ValueType, value: Any, order: str) -> bytes:
    wanted: tuple[type, ...] = (int,)
    if kind is ValueType.BOOL:
        wanted = (bool,)
    elif kind in (ValueType.FLOAT32, ValueType.FLOAT64):
        wanted = (int, float)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not ValueType.BOOL):
        raise UsageError(f"{_shown(value)} is not of type {kind.name}")
    try:
        return struct.pack(order + SCALAR_CODES[kind], value)
    except (struct.error, OverflowError):
        raise UsageError(f"{_shown(value)} does not fit in {kind.name}") from None


def _shown(value: Any) -> str:
    """`value` in an error message; Python refuses to print numbers of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a number of {value.bit_length()} bits"
    return quoted(value) if isinstance(value, str) else f"{value!r:.100}"


def _swapped(layout: Layout, kind: ValueType, start: int) -> Iterator[bytes]:
    """The value at `start`, piece by piece, in the other byte order, without decoding it."""
    data = layout.buffer
    if kind in SCALAR_CODES:
        yield _reversed(data[start : start + layout.scalars[kind].size], layout.scalars[kind].size)
        return
    if kind is ValueType.STRING:
        _, stop = layout.text(start)
        yield data[start : start + 8][::-1] + data[start + 8 : stop]
        return
    items = Array(layout, start, 0)
    yield data[start : start + 4][::-1] + data[start + 4 : start + 12][::-1]
    if items.element_type in SCALAR_CODES:
        yield _reversed(items.tobytes(), layout.scalars[items.element_type].size)
        return
    start += 12
    for _ in range(len(items)):
        yield from _swapped(layout, items.element_type, start)
        start = layout.value(items.element_type, start)[1]


def _reversed(data: bytes, size: int) -> bytes:
    """`data` with every group of `size` bytes turned round."""
    out = bytearray(len(data))
    for i in range(size):
        out[i::size] = data[size - 1 - i :: size]
    return bytes(out)
