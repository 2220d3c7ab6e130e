"""A GGUF model as the rest of the program sees it: metadata, tensors, shards.

    file = open_gguf("model.gguf")
    file.metadata["general.architecture"]   # values; arrays stay in the map until read
    file.tensors["token_embd.weight"].data  # read-only view of the bytes, never a copy

A model split by llama.cpp's convention (`name-00001-of-0000N.gguf`) is opened by its first
shard; all shards must be beside it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli.errors import InputError
from zigllm_cli.gguf.reader import Field, Header, TensorRecord, read_header
from zigllm_cli.gguf.types import TYPES_BY_ID, TensorType

if TYPE_CHECKING:
    import numpy as np

SHARD_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class Metadata(Mapping[str, Any]):
    """The key-value pairs of a model, in file order; `fields` tells types and positions."""

    def __init__(self, fields: dict[str, Field]) -> None:
        self.fields = fields

    def __getitem__(self, key: str) -> Any:
        return self.fields[key].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file.

    Attributes:
        shape: sizes in ggml's order, the contiguous dimension first: {n_embd, n_vocab}.
        offset: of the first byte, from the start of the shard's file.
        shard: index of the file it lies in.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    nbytes: int
    shard: int
    header: Header

    @property
    def n_elements(self) -> int:
        return prod(self.shape)

    @property
    def row_length(self) -> int:
        """Values per row (the first, contiguous dimension)."""
        return self.shape[0] if self.shape else 1

    @property
    def rows(self) -> int:
        return prod(self.shape[1:])

    @property
    def data(self) -> memoryview:
        """The bytes in the map, read-only, as they lie in the file."""
        return memoryview(self.header.layout.buffer)[self.offset : self.offset + self.nbytes]

    def numpy(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The bytes in the map as uint8 [rows, row_bytes], without a copy."""
        import numpy as np

        rows = self.rows
        row_bytes = self.nbytes // rows if rows else 0
        return np.frombuffer(self.data, np.uint8).reshape(rows, row_bytes)

    @property
    def order(self) -> str:
        """ "<" for little-endian values, ">" for big-endian ones."""
        return self.header.byte_order

    def forget(self, start: int, stop: int) -> None:
        """Let pages of the map go, bytes of this tensor, so that a large model fits any memory."""
        forget(self.header.layout.buffer, self.offset + start, self.offset + stop)


def forget(buffer: mmap.mmap | bytes, start: int, stop: int) -> None:
    """Let the pages between two bytes of a map go; they are read again when they are asked for."""
    if not isinstance(buffer, mmap.mmap) or not hasattr(buffer, "madvise"):
        return
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    last = stop // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        with contextlib.suppress(OSError, ValueError):
            buffer.madvise(mmap.MADV_DONTNEED, first, last - first)


class TensorTable(Mapping[str, Tensor]):
    """Tensors by name, in file order; objects are made on access (opening makes none)."""

    def __init__(self, headers: list[Header]) -> None:
        self._headers = headers
        self._shard_of = {name: i for i, header in enumerate(headers) for name in header.tensors}

    def __getitem__(self, name: str) -> Tensor:
        shard = self._shard_of[name]
        header = self._headers[shard]
        return _tensor(header.tensors[name], header, shard)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shard_of)

    def __len__(self) -> int:
        return len(self._shard_of)


def _tensor(record: TensorRecord, header: Header, shard: int) -> Tensor:
    name, shape, type_id, offset, nbytes = record
    start = header.data_start + offset
    return Tensor(name, shape, TYPES_BY_ID[type_id], start, nbytes, shard, header)


class GGUFFile:
    """An opened model: one header per shard, the first one's metadata, everybody's tensors.

    Attributes:
        adapters: low-rank changes that it is to be run with, and how much of each.
    """

    def __init__(self, paths: list[Path], headers: list[Header]) -> None:
        self.path = paths[0]
        self.paths = paths
        self.headers = headers
        self.metadata = Metadata(headers[0].fields)
        self.adapters: list[tuple[GGUFFile, float]] = []

    @cached_property
    def tensors(self) -> TensorTable:
        return TensorTable(self.headers)

    @property
    def version(self) -> int:
        return self.headers[0].version

    @property
    def byte_order(self) -> str:
        """ "<" for little-endian files, ">" for big-endian ones."""
        return self.headers[0].byte_order

    @property
    def alignment(self) -> int:
        return self.headers[0].alignment

    @property
    def architecture(self) -> str:
        """`general.architecture`, or "" where the file names none."""
        value = self.metadata.get("general.architecture", "")
        return value if isinstance(value, str) else ""

    @property
    def size(self) -> int:
        """Bytes of all shards on disk."""
        return sum(header.layout.size for header in self.headers)

    def hyperparameter(self, name: str, default: Any = None) -> Any:
        """The value of `{architecture}.{name}`, as the keys of hyper-parameters are spelt."""
        return self.metadata.get(f"{self.architecture}.{name}", default)


def open_gguf(path: str | os.PathLike[str]) -> GGUFFile:
    """Open a GGUF model for reading: a file, or the first shard of a split one.

    Raises:
        InputError: unreadable, corrupt, or a shard is missing or does not belong.
        UnsupportedError: a GGUF version or tensor type that is not read.
    """
    first = Path(path)
    header = read_header(first)
    count = _split_value(header, "split.count", 1, first)
    if count <= 1:
        return GGUFFile([first], [header])
    paths = _shard_paths(first, header, count)
    headers = [header, *(_read_shard(p, i, count) for i, p in enumerate(paths) if i)]
    _check_shards(headers, paths)
    return GGUFFile(paths, headers)


def shard_path(stem: str | os.PathLike[str], number: int, count: int) -> Path:
    """The file name of shard `number` (from 0) of `count` by llama.cpp's convention."""
    return Path(f"{os.fspath(stem)}-{number + 1:05d}-of-{count:05d}.gguf")


def _split_value(header: Header, key: str, default: int, path: Path) -> int:
    field = header.fields.get(key)
    value = default if field is None else field.value
    if not isinstance(value, int):
        raise InputError(f"{path}: {key} is {value!r}, not a number")
    return value


def _shard_paths(first: Path, header: Header, count: int) -> list[Path]:
    match = SHARD_NAME.fullmatch(first.name)
    if match is None or int(match["count"]) != count:
        raise InputError(
            f"{first} is one of {count} shards, but is not named "
            f"NAME-00001-of-{count:05d}.gguf; give the shards their names back"
        )
    stem = first.parent / match["stem"]
    if _split_value(header, "split.no", 0, first) != 0:
        raise InputError(f"{first} is a later shard; open {shard_path(stem, 0, count)} instead")
    return [first, *(shard_path(stem, number, count) for number in range(1, count))]


def _read_shard(path: Path, number: int, count: int) -> Header:
    header = read_header(path)
    found = (
        _split_value(header, "split.no", -1, path),
        _split_value(header, "split.count", -1, path),
    )
    if found != (number, count):
        raise InputError(
            f"{path} says it is shard {found[0]} of {found[1]}, but {number} of {count} is needed"
        )
    return header


def _check_shards(headers: list[Header], paths: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for header, path in zip(headers, paths, strict=True):
        for name in header.tensors:
            if name in seen:
                raise InputError(f"tensor {name!r} stands in {seen[name]} and in {path}")
            seen[name] = path
    expected = _split_value(headers[0], "split.tensors.count", len(seen), paths[0])
    if expected != len(seen):
        raise InputError(f"{paths[0]} announces {expected} tensors, its shards hold {len(seen)}")
