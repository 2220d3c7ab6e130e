"""Read safetensors files: a JSON table of tensors, then their bytes, which stay in the map.

Format: https://github.com/huggingface/safetensors. Own, because the library checks less than a
file from the net needs, and gives no BF16 and no FP8 without torch.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from zigllm_cli.convert.stored import SIZES, stored_dtype, stored_values
from zigllm_cli.convert.values import Array, Values
from zigllm_cli.errors import InputError, unreadable
from zigllm_cli.gguf.model_file import forget

MAX_HEADER = 100_000_000
"""Bytes of the table; the limit of the format."""


@dataclass(frozen=True)
class Record:
    """A row of the table: type, shape, and the bytes of the file it lies in."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class SafetensorsFile:
    """One file, mapped.

    Attributes:
        records: by name, in the order of the table.
        metadata: texts that the file says of itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map = _mapped(path)
        table, data = _table(self._map, path)
        metadata = table.pop("__metadata__", {})
        self.metadata = metadata if isinstance(metadata, dict) else {}
        self.records = {name: _record(name, row, data, path) for name, row in table.items()}
        _check_places(self.records, data, len(self._map), path)

    def __iter__(self) -> Iterator[Values]:
        for record in self.records.values():
            yield self.values(record)

    def raw(self, record: Record) -> Array:
        """The bytes of a tensor, a view of the map."""
        return np.frombuffer(self._map, np.uint8, record.stop - record.start, record.start)

    def release(self, record: Record) -> None:
        """Let a tensor's pages go."""
        forget(self._map, record.start, record.stop)

    def values(self, record: Record) -> Values:
        """A tensor, not read yet; 8-bit floats as float32, without a scale.

        Raises:
            UnsupportedError: of a type that is not converted.
        """
        dtype = stored_dtype(record.dtype)
        return stored_values(
            record.name,
            record.dtype,
            record.shape,
            lambda: self.raw(record).view(dtype).reshape(record.shape),
            lambda: self.release(record),
        )


def recognises(path: Path) -> bool:
    """Whether a file begins as safetensors files do."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    return (
        len(head) == 9
        and 2 <= int.from_bytes(head[:8], "little") <= MAX_HEADER
        and (head[8:] == b"{")
    )


# ------------------------------------------------------------------ the table


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise InputError(f"{path} is empty") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _table(data: mmap.mmap, path: Path) -> tuple[dict[str, Any], int]:
    """The JSON table, and where the tensors' bytes begin."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER or 8 + length > len(data):
        raise InputError(
            f"{path} is no safetensors file, or a damaged one: it says that its table has {length} "
            f"bytes, and the file has {len(data)}"
        )
    try:
        table = json.loads(data[8 : 8 + length], object_pairs_hook=_unique)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is damaged: its table of tensors is no JSON") from None
    if not isinstance(table, dict):
        raise InputError(f"{path} is damaged: its table of tensors is no JSON object")
    return table, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{twice!r} stands twice in the table of tensors")
    return found


def _record(name: str, row: Any, data: int, path: Path) -> Record:
    try:
        dtype, shape, (start, stop) = row["dtype"], row["shape"], row["data_offsets"]
        numbers = [*shape, start, stop]
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{path}: the entry of {name!r:.100} is not as it should be") from None
    if not isinstance(dtype, str) or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise InputError(f"{path}: the entry of {name!r:.100} is not as it should be")
    return Record(name, dtype, tuple(shape), data + start, data + stop)


def _check_places(records: dict[str, Record], data: int, size: int, path: Path) -> None:
    """Whether tensors have the bytes that their shapes need, and none shares bytes with another."""
    for record in records.values():
        nbytes = record.stop - record.start
        if nbytes < 0 or record.stop > size:
            raise InputError(
                f"{path} is truncated or damaged: {record.name!r:.100} lies at bytes "
                f"{record.start} to {record.stop}, and the file has {size}"
            )
        width = SIZES.get(record.dtype)
        if width and nbytes != prod(record.shape) * width:
            raise InputError(
                f"{path}: {record.name!r:.100} is {record.dtype} of shape {record.shape}, which "
                f"is {prod(record.shape) * width} bytes, not {nbytes}"
            )
    places = sorted((r for r in records.values() if r.stop > r.start), key=lambda r: r.start)
    for before, after in pairwise(places):
        if after.start < before.stop:
            raise InputError(f"{path}: {before.name!r:.100} and {after.name!r:.100} overlap")
