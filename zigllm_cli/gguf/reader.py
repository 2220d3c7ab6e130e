"""Read the header of one GGUF file from a read-only map.

    magic "GGUF" | version u32 | tensor count u64 | key count u64
    key-value pairs: key, type u32, value
    tensor infos:    name, dimensions u32, sizes u64..., type u32, offset u64
    padding to general.alignment, then the tensors' bytes

Versions 2 and 3 in both byte orders (GGUF specification; a big-endian file shows a version whose
low half is zero). Files are untrusted: whatever the bytes say, the answer is a valid `Header` or
an `InputError`. Tensor bytes are never copied or read here.
"""

from __future__ import annotations

import mmap
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from math import prod
from operator import itemgetter
from pathlib import Path
from typing import Any

from zigllm_cli.errors import InputError, UnsupportedError, unreadable
from zigllm_cli.gguf.types import ValueType, tensor_type
from zigllm_cli.gguf.values import Layout, value_type

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
MAX_KEYS = 100_000
MAX_TENSORS = 1_000_000
MAX_DIMENSIONS = 4
MAX_NAME = 65_535
"""Bytes of a key (GGUF specification) or of a tensor's name."""
MAX_ELEMENTS = 2**63 - 1

TensorRecord = tuple[str, tuple[int, ...], int, int, int]
"""name, shape (innermost first), type number, offset in the data section, bytes"""


@dataclass(frozen=True, slots=True)
class Field:
    """One metadata entry: its value and where the value's bytes lie in the file."""

    key: str
    type: ValueType
    value: Any
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """Everything in front of the tensor data of one file.

    Attributes:
        byte_order: "<" or ">".
        data_start: offset of the data section; may lie past the end of a file without tensors.
    """

    layout: Layout
    version: int
    alignment: int
    fields: dict[str, Field]
    tensors: dict[str, TensorRecord]
    infos_stop: int
    data_start: int

    @property
    def byte_order(self) -> str:
        return self.layout.order


def map_file(path: Path) -> mmap.mmap:
    """Map a regular file for reading.

    Raises:
        InputError: missing, unreadable, empty or not a regular file.
    """
    try:
        # Asked before opening: opening a named pipe would wait for somebody to write to it.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
            raise InputError(f"{path} is {kind}, not a regular file")
        if status.st_size == 0:
            raise InputError(f"{path} is empty, not a GGUF file")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def read_header(path: Path) -> Header:
    """Parse the header of the file at `path`.

    Raises:
        InputError: not GGUF, truncated or inconsistent; the message names the file.
        UnsupportedError: a version or a tensor type that this program does not read.
    """
    buffer = map_file(path)
    try:
        return parse_header(buffer)
    except (InputError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from None


def parse_header(buffer: mmap.mmap | bytes) -> Header:
    """Parse a header that begins at the start of `buffer`; see `read_header`."""
    try:
        return _parse(buffer)
    except (struct.error, OverflowError):
        raise InputError(
            f"it ends inside its header (it has {len(buffer)} bytes); download it again"
        ) from None


def _parse(buffer: mmap.mmap | bytes) -> Header:
    version, layout = _version_and_layout(buffer)
    tensor_count, key_count = struct.unpack_from(layout.order + "QQ", buffer, 8)
    if key_count > MAX_KEYS or tensor_count > MAX_TENSORS:
        raise InputError(
            f"it claims {key_count} keys and {tensor_count} tensors; "
            f"at most {MAX_KEYS} and {MAX_TENSORS} are accepted"
        )
    fields, position = _read_fields(layout, key_count)
    alignment = _alignment(fields)
    tensors, infos_stop = _read_tensors(layout, position, tensor_count)
    data_start = align(infos_stop, alignment)
    _check_extents(tensors.values(), alignment, len(buffer) - data_start)
    return Header(layout, version, alignment, fields, tensors, infos_stop, data_start)


def quoted(name: str) -> str:
    """`name` as an error message shows it: escaped, and cut where it is absurdly long."""
    return repr(name) if len(name) <= 100 else f"{name[:100]!r}..."


def align(position: int, alignment: int) -> int:
    """The smallest multiple of `alignment` that is not below `position`."""
    return -(-position // alignment) * alignment


def _version_and_layout(buffer: mmap.mmap | bytes) -> tuple[int, Layout]:
    if buffer[:4] != MAGIC:
        raise InputError(f"it starts with {buffer[:4]!r}, not with {MAGIC!r}: not a GGUF file")
    (version,) = struct.unpack_from("<I", buffer, 4)
    order = "<" if version & 0xFFFF else ">"
    (version,) = struct.unpack_from(order + "I", buffer, 4)
    if version not in (2, 3):
        raise UnsupportedError(f"GGUF version {version} is not supported, only 2 and 3")
    return version, Layout(buffer, order)


def _read_fields(layout: Layout, count: int) -> tuple[dict[str, Field], int]:
    fields: dict[str, Field] = {}
    position = 24
    for _ in range(count):
        key, position = layout.text(position, MAX_NAME)
        if not key or not key.isprintable():
            raise InputError(f"metadata key {quoted(key)} is not readable text")
        if key in fields:
            raise InputError(f"metadata key {quoted(key)} occurs twice")
        kind = value_type(layout.u32(layout.buffer, position)[0])
        start = position + 4
        value, position = layout.value(kind, start)
        fields[key] = Field(key, kind, value, start, position)
    return fields, position


def _alignment(fields: dict[str, Field]) -> int:
    field = fields.get("general.alignment")
    if field is None:
        return DEFAULT_ALIGNMENT
    if field.type is not ValueType.UINT32 or field.value == 0:
        raise InputError(
            f"general.alignment is {field.value!r} ({field.type.name}), "
            "but must be a positive UINT32"
        )
    return int(field.value)


def _read_tensors(layout: Layout, position: int, count: int) -> tuple[dict[str, TensorRecord], int]:
    """Parse `count` tensor infos: one pass, tuples only, 0.9 us each.

    A model repeats few shapes, so the checks of a shape and its type are made once for each.
    """
    tensors: dict[str, TensorRecord] = {}
    forms: dict[tuple[int, ...], tuple[tuple[int, ...], int]] = {}
    buffer, u64, u32 = layout.buffer, layout.u64, layout.u32
    tails = [struct.Struct(f"{layout.order}{'Q' * n}IQ") for n in range(MAX_DIMENSIONS + 1)]
    for _ in repeat(None, count):
        (length,) = u64(buffer, position)
        if length > MAX_NAME:
            raise InputError(
                f"a tensor name at offset {position} is said to have {length} bytes; "
                f"at most {MAX_NAME} are accepted"
            )
        start = position + 8
        position = start + length
        name = buffer[start:position].decode("utf-8", "surrogateescape")
        if name in tensors or not name.isprintable():
            raise InputError(f"tensor name {quoted(name)} occurs twice or is not readable text")
        (dimensions,) = u32(buffer, position)
        if dimensions > MAX_DIMENSIONS:
            raise InputError(
                f"tensor {quoted(name)} has {dimensions} dimensions, at most {MAX_DIMENSIONS} exist"
            )
        tail = tails[dimensions]
        values = tail.unpack_from(buffer, position + 4)
        position += 4 + tail.size
        form = values[:-1]
        if form not in forms:
            forms[form] = form[:-1], _tensor_bytes(name, form[:-1], form[-1])
        shape, nbytes = forms[form]
        tensors[name] = (name, shape, form[-1], values[-1], nbytes)
    return tensors, position


def _tensor_bytes(name: str, shape: tuple[int, ...], type_id: int) -> int:
    """The bytes of a tensor, once its type and shape are found to be possible."""
    try:
        kind = tensor_type(type_id)
    except UnsupportedError as error:
        raise UnsupportedError(f"tensor {quoted(name)}: {error}") from None
    row = shape[0] if shape else 1
    if row % kind.block_size:
        raise InputError(
            f"tensor {quoted(name)} has rows of {row} values, not a multiple of the "
            f"{kind.block_size} values in a block of {kind.name}"
        )
    # An empty tensor has no bytes whose end could lie outside the file, so its other sizes are
    # bounded here.
    if prod(extent or 1 for extent in shape) > MAX_ELEMENTS:
        raise InputError(f"tensor {quoted(name)} has the impossible shape {shape}")
    return row // kind.block_size * kind.block_bytes * prod(shape[1:])


def _check_extents(tensors: Iterable[TensorRecord], alignment: int, available: int) -> None:
    """Every tensor aligned, inside the file, and none upon another."""
    previous_stop, previous = 0, ""
    for name, _, _, offset, nbytes in sorted(tensors, key=itemgetter(3)):
        stop = offset + nbytes
        if offset % alignment:
            raise InputError(
                f"tensor {quoted(name)} lies at offset {offset}, not a multiple of the "
                f"alignment {alignment}"
            )
        if stop > available:
            raise InputError(
                f"tensor {quoted(name)} ends at byte {stop} of the data section, but only "
                f"{max(available, 0)} bytes are there: the file is truncated, download it again"
            )
        if nbytes:
            if offset < previous_stop:
                raise InputError(f"tensors {quoted(previous)} and {quoted(name)} overlap")
            previous_stop, previous = stop, name
