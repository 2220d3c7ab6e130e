"""Importance matrices: for every matrix and input column, the sum of the squares that entered it.

Two file formats hold them. GGUF (`general.type = imatrix`): per matrix `NAME.in_sum2` f32
{columns, matrices}, the sums, and `NAME.counts` f32 {1, matrices}, how many rows were summed. The
older one, by convention `.dat`, all little-endian:

    i32 entries; per entry: i32 length, name, i32 calls, i32 values, f32 values
    then, perhaps: i32 chunks, i32 length, name of the text

whose values are means times calls. A matrix is one of a stack in models of experts.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.atomic import atomic_file
from zigllm_cli.errors import InputError, ZigllmError, unreadable
from zigllm_cli.gguf import Array, GGUFFile, Tensor, ValueType, open_gguf
from zigllm_cli.gguf.entry import Entry, TypedList
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.gguf.writer import TensorPlan, write_gguf
from zigllm_cli.quantization.mixes import EMBEDDINGS
from zigllm_cli.quantization.weights import Weights

Floats = NDArray[np.float32]
SUMS, COUNTS = ".in_sum2", ".counts"
LEGACY_CHUNK = 512
"""Rows of a call of the old format, which does not say."""


@dataclass
class Sums:
    """One matrix, or a stack of them.

    Attributes:
        sums: f32 [matrices * columns] of squares.
        counts: i64, of rows; one for all, or one per matrix.
        calls: in the old format, which keeps means times calls instead of sums.
    """

    sums: Floats
    counts: NDArray[np.int64]
    calls: int | None = None

    def means(self) -> Floats:
        """What an error in each column costs; ones for a matrix that no row has met."""
        if self.calls is not None:
            return self.sums / np.float32(self.calls) if self.calls else self.sums
        counts = self.counts.astype(np.float32)[:, None]
        rows = self.sums.reshape(len(self.counts), -1)
        with np.errstate(all="ignore"):
            return np.where(counts > 0, rows / counts, np.float32(1)).reshape(-1)

    def add(self, other: Sums) -> None:
        """Take more rows into account."""
        self.sums = self.sums + other.sums
        self.counts = self.counts + other.counts


@dataclass
class Importance:
    """A whole matrix file.

    Attributes:
        entries: by the name of the tensor.
        datasets: the texts it was computed on.
        chunks: how many pieces of them.
        chunk_size: tokens of a piece.
    """

    entries: dict[str, Sums] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)
    chunks: int = 0
    chunk_size: int = LEGACY_CHUNK

    def of(self, tensor: Weights) -> Floats | None:
        """f32 [matrices, columns] for a tensor, or None where there is nothing about it.

        Raises:
            InputError: the entry does not fit the tensor.
        """
        entry = self.entries.get(tensor.name)
        if entry is None:
            return None
        matrices = tensor.shape[2] if len(tensor.shape) > 2 else 1
        if entry.sums.size != tensor.row_length * matrices:
            if tensor.name in EMBEDDINGS:
                return None
            raise InputError(
                f"the importance of {tensor.name} has {entry.sums.size} values, but the tensor "
                f"needs {tensor.row_length} x {matrices}; it was made for another model"
            )
        return entry.means().reshape(matrices, -1)

    def filtered(self, include: list[str], exclude: list[str]) -> Importance:
        """Only entries whose names hold one of `include` (if any) and none of `exclude`."""
        entries = {
            name: entry
            for name, entry in self.entries.items()
            if (not include or any(part in name for part in include))
            and not any(part in name for part in exclude)
        }
        return Importance(entries, self.datasets, self.chunks, self.chunk_size)


def read_importance(path: str | os.PathLike[str], *, chunk_size: int = LEGACY_CHUNK) -> Importance:
    """Read a matrix file of either format.

    Args:
        chunk_size: tokens of a call, for the old format, which does not say.

    Raises:
        InputError: it cannot be read, is neither, or has values that are not finite.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_gguf = file.read(4) == b"GGUF"
            found = None if is_gguf else _read_legacy(file, path, chunk_size)
    except OSError as error:
        raise unreadable(path, error) from None
    if found is None:
        found = _read_gguf(open_gguf(path), path)
    for name, entry in found.entries.items():
        if not np.isfinite(entry.sums).all():
            raise InputError(f"{path}: the importance of {name} has values that are not finite")
    if not found.entries:
        raise InputError(f"{path} holds no importance matrix")
    return found


def _read_gguf(file: GGUFFile, path: Path) -> Importance:
    found = Importance()
    texts = file.metadata.get("imatrix.datasets")
    if isinstance(texts, Array):
        found.datasets = [str(text) for text in texts]
    found.chunks = _number(file, "imatrix.chunk_count", 0)
    found.chunk_size = _number(file, "imatrix.chunk_size", LEGACY_CHUNK) or LEGACY_CHUNK
    for name, tensor in file.tensors.items():
        if not name.endswith(SUMS):
            continue
        stem = name.removesuffix(SUMS)
        counts = file.tensors.get(stem + COUNTS)
        if counts is None:
            raise InputError(f"{path}: {name} has no counts beside it")
        sums, numbers = _floats(tensor, path), _floats(counts, path)
        if not numbers.size or sums.size % numbers.size or not np.isfinite(numbers).all():
            raise InputError(f"{path}: {stem} has {sums.size} sums but {numbers.size} counts")
        found.entries[stem] = Sums(sums, np.rint(numbers).astype(np.int64))
    return found


def _number(file: GGUFFile, key: str, default: int) -> int:
    value = file.metadata.get(key, default)
    return value if isinstance(value, int) else default


def _floats(tensor: Tensor, path: Path) -> Floats:
    if tensor.type.name != "F32":
        raise InputError(f"{path}: {tensor.name} is {tensor.type} instead of F32")
    order = tensor.header.byte_order
    return np.frombuffer(tensor.data, order + "f4").astype(np.float32)


def _read_legacy(file: BinaryIO, path: Path, chunk_size: int) -> Importance:
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)

    def take(count: int) -> bytes:
        if not 0 <= count <= size - file.tell():
            raise InputError(f"{path} is neither a GGUF file nor an old importance matrix")
        return file.read(count)

    def number() -> int:
        return int(struct.unpack("<i", take(4))[0])

    found = Importance(chunk_size=chunk_size)
    for _ in range(number()):
        name = take(number()).decode("utf-8", "replace")
        calls, values = number(), number()
        sums = np.frombuffer(take(4 * values), "<f4").astype(np.float32)
        if values < 1 or calls < 0:
            raise InputError(f"{path} is neither a GGUF file nor an old importance matrix")
        found.entries[name] = Sums(sums, np.array([calls * chunk_size]), calls)
    if file.tell() < size:
        found.chunks = number()
        if file.tell() < size:
            found.datasets = [take(number()).decode("utf-8", "replace")]
    return found


def write_importance(found: Importance, path: str | os.PathLike[str], form: str = "gguf") -> None:
    """Write a matrix file, whole or not at all; `form` is gguf or dat.

    Raises:
        InputError: it cannot be written.
    """
    if form == "dat":
        with atomic_file(path) as file:
            _write_legacy(found, file)
        return
    entries = [
        Entry.make("general.type", ValueType.STRING, "imatrix"),
        Entry.make(
            "imatrix.datasets", ValueType.ARRAY, TypedList(ValueType.STRING, found.datasets)
        ),
        Entry.make("imatrix.chunk_count", ValueType.UINT32, found.chunks),
        Entry.make("imatrix.chunk_size", ValueType.UINT32, found.chunk_size),
    ]
    plans = []
    for name in sorted(found.entries):
        entry = as_sums(found.entries[name], found.chunk_size)
        matrices = len(entry.counts)
        for suffix, values in ((SUMS, entry.sums), (COUNTS, entry.counts)):
            columns = len(values) // matrices
            shape = (columns, matrices) if matrices > 1 else (columns,)
            data = values.astype("<f4").tobytes()
            plans.append(_plan(name + suffix, shape, data))
    write_gguf(path, entries, plans)


def _plan(name: str, shape: tuple[int, ...], data: bytes) -> TensorPlan:
    return TensorPlan(name, shape, tensor_type("F32"), lambda: [data])


def as_sums(entry: Sums, chunk_size: int) -> Sums:
    """An entry of the old format with sums and counts as the new one has them."""
    if entry.calls is None:
        return entry
    return Sums(entry.sums * np.float32(chunk_size), np.array([entry.calls * chunk_size]))


def _write_legacy(found: Importance, file: BinaryIO) -> None:
    kept = [name for name in sorted(found.entries) if found.entries[name].counts.any()]
    if not kept:
        raise ZigllmError("no matrix has met a row yet, so there is nothing to write")
    file.write(struct.pack("<i", len(kept)))
    for name in kept:
        entry = found.entries[name]
        calls = entry.calls
        values = entry.sums
        if calls is None:
            calls = -(-int(entry.counts.max()) // found.chunk_size)
            values = entry.means() * np.float32(calls)
            idle = np.repeat(entry.counts == 0, len(values) // len(entry.counts))
            values = np.where(idle, np.float32(calls), values)
        raw = name.encode()
        file.write(struct.pack("<i", len(raw)) + raw + struct.pack("<ii", calls, len(values)))
        file.write(values.astype("<f4").tobytes())
    text = (found.datasets[-1] if found.datasets else "").encode()
    file.write(struct.pack("<ii", found.chunks, len(text)) + text)
