"""Metadata values as they lie in the file: scalars, strings, arrays.

A scalar is decoded at once. An array stays in the map and is walked only to find its end, so a
vocabulary of 150,000 strings costs one pass of offsets (25 ms) and no objects until asked for.
Nothing here trusts the bytes: every length is checked against what is left of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import repeat
from mmap import mmap
from typing import Any, overload

from zigllm_cli.errors import InputError
from zigllm_cli.gguf.types import SCALAR_CODES, ValueType

MAX_NESTING = 8
"""Arrays within arrays; no known file has more than one level."""

MAX_STRING = 1 << 28
"""Bytes of one string; longer ones only occur in sparse files made to exhaust the memory."""

Buffer = mmap | bytes


class Layout:
    """`struct` readers for one byte order ("<" or ">") over one buffer."""

    def __init__(self, buffer: Buffer, order: str) -> None:
        self.buffer = buffer
        self.order = order
        self.size = len(buffer)
        self.u32 = struct.Struct(order + "I").unpack_from
        self.u64 = struct.Struct(order + "Q").unpack_from
        self.array_head = struct.Struct(order + "IQ").unpack_from
        self.scalars = {kind: struct.Struct(order + code) for kind, code in SCALAR_CODES.items()}

    def text(self, start: int, limit: int = MAX_STRING) -> tuple[str, int]:
        """The length-prefixed string of up to `limit` bytes at `start` and the position behind it.

        Bytes that are not UTF-8 survive as surrogate escapes, so that nothing is lost.
        """
        (length,) = self.u64(self.buffer, start)
        stop = start + 8 + length
        if stop > self.size:
            raise InputError(
                f"a string of {length} bytes at offset {start} runs past the end of the file "
                f"({self.size} bytes)"
            )
        if length > limit:
            raise InputError(
                f"a string at offset {start} has {length} bytes; at most {limit} are accepted"
            )
        return self.buffer[start + 8 : stop].decode("utf-8", "surrogateescape"), stop

    def value(self, kind: ValueType, start: int, depth: int = 0) -> tuple[Any, int]:
        """The value of type `kind` at `start` and the position behind it."""
        if kind is ValueType.STRING:
            return self.text(start)
        if kind is ValueType.ARRAY:
            array = Array(self, start, depth)
            return array, array.stop
        packed = self.scalars[kind]
        return packed.unpack_from(self.buffer, start)[0], start + packed.size

    def skip_strings(self, start: int, count: int) -> int:
        """The position behind `count` strings that begin at `start`."""
        buffer, u64, position = self.buffer, self.u64, start
        for _ in repeat(None, count):
            position += 8 + u64(buffer, position)[0]
        return position


class Array(Sequence[Any]):
    """A metadata array, left in the map: `len`, iteration and `tolist` decode on demand.

    Attributes:
        element_type: type of the elements; ARRAY for arrays of arrays.
        start, stop: where the value lies in the file (type and count included).
    """

    __slots__ = ("_data", "_layout", "_length", "depth", "element_type", "start", "stop")

    def __init__(self, layout: Layout, start: int, depth: int) -> None:
        if depth >= MAX_NESTING:
            raise InputError(f"arrays are nested more than {MAX_NESTING} levels deep")
        kind, length = layout.array_head(layout.buffer, start)
        self.element_type = value_type(kind)
        self._layout = layout
        self._length: int = length
        self._data = start + 12
        self.start = start
        self.depth = depth
        self.stop = self._find_stop()
        if self.stop > layout.size:
            raise InputError(
                f"an array of {length} values at offset {start} runs past the end of the file "
                f"({layout.size} bytes)"
            )

    def _find_stop(self) -> int:
        layout, kind, length = self._layout, self.element_type, self._length
        if kind in SCALAR_CODES:
            return self._data + length * layout.scalars[kind].size
        if length * (8 if kind is ValueType.STRING else 12) > layout.size - self._data:
            return layout.size + 1
        if kind is ValueType.STRING:
            return layout.skip_strings(self._data, length)
        position = self._data
        for _ in repeat(None, length):
            position = Array(layout, position, self.depth + 1).stop
        return position

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        position, layout, kind = self._data, self._layout, self.element_type
        for _ in repeat(None, self._length):
            item, position = layout.value(kind, position, self.depth + 1)
            yield item

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        kind = self.element_type
        if isinstance(index, slice) or kind not in SCALAR_CODES:
            return self.tolist()[index]
        position = range(self._length)[index]
        packed = self._layout.scalars[kind]
        return packed.unpack_from(self._layout.buffer, self._data + position * packed.size)[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Array):
            return NotImplemented
        if self.element_type != other.element_type or len(self) != len(other):
            return False
        return self.tolist() == other.tolist()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} x {self.element_type.name}>"

    def tobytes(self) -> bytes:
        """The elements as they lie in the file, in the file's byte order."""
        return self._layout.buffer[self._data : self.stop]

    def tolist(self) -> list[Any]:
        """All elements as Python values (nested arrays as `Array`)."""
        kind, length = self.element_type, self._length
        if kind is ValueType.STRING:
            return self._strings()
        if kind is ValueType.ARRAY:
            return list(self)
        code = f"{self._layout.order}{length}{SCALAR_CODES[kind]}"
        return list(struct.unpack_from(code, self._layout.buffer, self._data))

    def _strings(self) -> list[str]:
        data, position = self.tobytes(), 0
        strings: list[str] = []
        u64, append = self._layout.u64, strings.append
        for _ in repeat(None, self._length):
            start = position + 8
            position = start + u64(data, position)[0]
            append(data[start:position].decode("utf-8", "surrogateescape"))
        return strings


def value_type(number: int) -> ValueType:
    """The metadata type with this number.

    Raises:
        InputError: GGUF has no such type.
    """
    try:
        return ValueType(number)
    except ValueError:
        raise InputError(f"metadata type {number} does not exist in GGUF") from None
