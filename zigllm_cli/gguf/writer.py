"""Write GGUF files as a stream: metadata, then tensors chunk by chunk, in constant memory.

    write_gguf("new.gguf", entries, tensors)

Layout and split convention are those that `reader` and `model_file` describe; a file that follows
the specification's order is reproduced byte for byte. Knows neither where entries come from (see
`entry` and `edit`) nor what the tensors' bytes mean.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from math import prod
from pathlib import Path
from typing import BinaryIO

from zigllm_cli.atomic import AtomicFiles, refuse_inputs
from zigllm_cli.errors import UnsupportedError, UsageError, ZigllmError
from zigllm_cli.gguf.entry import Entry, TypedList, encode_text, encode_value
from zigllm_cli.gguf.model_file import SHARD_NAME, Tensor, shard_path
from zigllm_cli.gguf.reader import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_DIMENSIONS,
    MAX_NAME,
    align,
    quoted,
)
from zigllm_cli.gguf.types import TensorType, ValueType

__all__ = ["Entry", "TensorPlan", "TypedList", "encode_value", "write_gguf"]

ALIGNMENT_KEY = "general.alignment"
SPLIT_KEYS = ("split.no", "split.tensors.count", "split.count")
CHUNK_SIZE = 8 << 20
MAX_SHARDS = 65_535
ZEROS = bytes(1 << 16)

Chunk = bytes | bytearray | memoryview
Progress = Callable[[int], None]
"""Called with the number of tensor bytes written since the last call."""


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """One tensor to be written.

    Attributes:
        shape: sizes in ggml's order, the contiguous dimension first.
        chunks: called once, when it is the tensor's turn; yields its bytes piece by piece.
        order: byte order of these bytes.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    chunks: Callable[[], Iterable[Chunk]]
    order: str = "<"

    @classmethod
    def copy(cls, tensor: Tensor) -> TensorPlan:
        """The tensor of a file that was read, as it is."""
        order = tensor.header.byte_order
        return cls(tensor.name, tensor.shape, tensor.type, lambda: _pieces(tensor.data), order)

    @property
    def nbytes(self) -> int:
        blocks = prod(self.shape) // self.type.block_size
        return blocks * self.type.block_bytes


def _pieces(data: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(data), CHUNK_SIZE):
        yield data[start : start + CHUNK_SIZE]


def write_gguf(
    path: str | os.PathLike[str],
    entries: Iterable[Entry],
    tensors: Iterable[TensorPlan],
    *,
    version: int = 3,
    order: str = "<",
    pad_end: bool = True,
    split_max_bytes: int | None = None,
    split_max_tensors: int | None = None,
    split_counts: Sequence[int] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    progress: Progress | None = None,
) -> list[Path]:
    """Write a model, whole or split, and return its files. Nothing appears before all is written.

    The alignment is that of the entry `general.alignment`, or 32.

    Args:
        order: "<" or ">"; the bytes of tensors must be in this order already.
        pad_end: fill up behind the last tensor too, as most programs do.
        split_max_bytes: begin another shard before its tensors exceed this many bytes; one
            tensor that is larger has a shard of its own. Any limit names the files
            `NAME-00001-of-0000N.gguf`, even where one shard is enough.
        split_max_tensors: tensors per shard.
        split_counts: instead, how many tensors each shard has.
        inputs: files in use, which must not be written to.

    Raises:
        UsageError: something that GGUF cannot hold, or an output that is also an input.
        UnsupportedError: tensors in the other byte order.
        InputError: a file cannot be written.
    """
    entries, tensors = list(entries), list(tensors)
    _check(entries, tensors, version, order)
    alignment = _alignment(entries)
    groups, paths = [tensors], [Path(path)]
    is_split = any(x is not None for x in (split_max_bytes, split_max_tensors, split_counts))
    if split_counts is not None:
        rest = iter(tensors)
        groups = [list(islice(rest, count)) for count in split_counts]
    elif is_split:
        groups = list(_split(tensors, alignment, split_max_bytes, split_max_tensors))
    if is_split:
        paths = _shard_paths(Path(path), len(groups))
    refuse_inputs(paths, inputs)
    with AtomicFiles() as files:
        for number, (target, group) in enumerate(zip(paths, groups, strict=True)):
            meta = entries
            if is_split:
                meta = _shard_entries(entries, alignment, number, len(groups), len(tensors))
            with files.create(target) as file:
                header = _header(meta, group, alignment, version, order)
                _write(file, header, group, alignment, pad_end, progress)
    return paths


def data_start(entries: Iterable[Entry], tensors: Iterable[TensorPlan]) -> int:
    """Bytes before the first tensor of a file with these."""
    entries, tensors = list(entries), list(tensors)
    alignment = _alignment(entries)
    size = sum(len(piece) for piece in _header(entries, tensors, alignment, 3, "<"))
    return align(size, alignment)


def _check(entries: list[Entry], tensors: list[TensorPlan], version: int, order: str) -> None:
    if version not in (2, 3) or order not in ("<", ">"):
        raise UnsupportedError(f"GGUF {version} in byte order {order!r} cannot be written")
    for what, names in (("key", [e.key for e in entries]), ("tensor", [t.name for t in tensors])):
        for name, following in pairwise(sorted(names)):
            if name == following:
                raise UsageError(f"the {what} {quoted(name)} would be written twice")
    for tensor in tensors:
        _check_tensor(tensor, order)


def _check_tensor(tensor: TensorPlan, order: str) -> None:
    name, shape, kind = quoted(tensor.name), tensor.shape, tensor.type
    if not tensor.name.isprintable() or len(tensor.name.encode(errors="replace")) > MAX_NAME:
        raise UsageError(f"{name} cannot be the name of a tensor")
    if len(shape) > MAX_DIMENSIONS or any(not 0 <= extent < 2**63 for extent in shape):
        raise UsageError(f"tensor {name} has the impossible shape {shape}")
    if (shape[0] if shape else 1) % kind.block_size:
        raise UsageError(
            f"tensor {name} of shape {shape} cannot be {kind}: its rows are not a multiple of "
            f"{kind.block_size} values"
        )
    if tensor.order != order and kind.block_bytes > 1:
        raise UnsupportedError(
            f"tensor {name} is in the other byte order, which is not converted; "
            "keep the byte order of the input"
        )


def _alignment(entries: list[Entry]) -> int:
    for entry in entries:
        if entry.key == ALIGNMENT_KEY:
            value = int.from_bytes(entry.encoded("<"), "little")
            if entry.type is not ValueType.UINT32 or not value:
                raise UsageError(f"{ALIGNMENT_KEY} must be a positive UINT32")
            return value
    return DEFAULT_ALIGNMENT


def _split(
    tensors: list[TensorPlan], alignment: int, max_bytes: int | None, max_tensors: int | None
) -> Iterator[list[TensorPlan]]:
    """Fill shards in order; sizes count the padding, as llama.cpp's own splitter does."""
    for limit in (max_bytes, max_tensors):
        if limit is not None and limit < 1:
            raise UsageError(f"a shard cannot be limited to {limit}; give a positive number")
    group: list[TensorPlan] = []
    size = 0
    for tensor in tensors:
        nbytes = align(tensor.nbytes, alignment)
        too_large = max_bytes is not None and size + nbytes > max_bytes
        if group and (too_large or len(group) == max_tensors):
            yield group
            group, size = [], 0
        group.append(tensor)
        size += nbytes
    yield group


def _shard_paths(path: Path, count: int) -> list[Path]:
    if count > MAX_SHARDS:
        raise UsageError(f"this would make {count} shards; allow more per shard")
    match = SHARD_NAME.fullmatch(path.name)
    stem = path.parent / (match["stem"] if match else path.name.removesuffix(".gguf"))
    return [shard_path(stem, number, count) for number in range(count)]


def _shard_entries(
    entries: list[Entry], alignment: int, number: int, count: int, tensor_count: int
) -> list[Entry]:
    """The metadata of one shard: everything in the first, in the others only what it needs.

    The order of the three keys is the one llama.cpp's splitter happens to write. The alignment is
    repeated where it is not the default, because each file's offsets follow its own.
    """
    values = (
        (ValueType.UINT16, number),
        (ValueType.INT32, tensor_count),
        (ValueType.UINT16, count),
    )
    split = [Entry.make(key, *value) for key, value in zip(SPLIT_KEYS, values, strict=True)]
    if number == 0:
        return [entry for entry in entries if entry.key not in SPLIT_KEYS] + split
    if alignment != DEFAULT_ALIGNMENT:
        return [Entry.make(ALIGNMENT_KEY, ValueType.UINT32, alignment), *split]
    return split


def _header(
    entries: list[Entry], tensors: list[TensorPlan], alignment: int, version: int, order: str
) -> Iterator[Chunk]:
    """Everything in front of the padding before the tensors' bytes."""
    yield MAGIC + struct.pack(order + "IQQ", version, len(tensors), len(entries))
    for entry in entries:
        yield encode_text(entry.key, order) + struct.pack(order + "I", entry.type)
        yield entry.encoded(order)
    offset = 0
    for tensor in tensors:
        shape = tensor.shape
        numbers = (len(shape), *shape, tensor.type.id, offset)
        yield encode_text(tensor.name, order) + struct.pack(f"{order}I{len(shape)}QIQ", *numbers)
        offset += align(tensor.nbytes, alignment)


def _write(
    file: BinaryIO,
    header: Iterable[Chunk],
    tensors: list[TensorPlan],
    alignment: int,
    pad_end: bool,
    progress: Progress | None,
) -> None:
    size = sum(file.write(piece) for piece in header)
    if tensors or pad_end:
        _pad(file, size, alignment)
    for number, tensor in enumerate(tensors, 1):
        size = 0
        for chunk in tensor.chunks():
            written = file.write(chunk)
            size += written
            if progress is not None:
                progress(written)
        if size != tensor.nbytes:
            raise ZigllmError(
                f"tensor {quoted(tensor.name)} came with {size} bytes instead of {tensor.nbytes}"
            )
        if number < len(tensors) or pad_end:
            _pad(file, size, alignment)


def _pad(file: BinaryIO, size: int, alignment: int) -> None:
    missing = align(size, alignment) - size
    while missing:
        missing -= file.write(ZEROS[:missing])
