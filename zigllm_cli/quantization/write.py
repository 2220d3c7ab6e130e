"""A quantised model file: the old metadata, tensors as decided; nothing before all is there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from zigllm_cli.errors import ZigllmError
from zigllm_cli.gguf import GGUFFile, ValueType
from zigllm_cli.gguf.byteorder import pieces, swapped
from zigllm_cli.gguf.entry import Entry
from zigllm_cli.gguf.writer import (
    CHUNK_SIZE,
    SPLIT_KEYS,
    Chunk,
    Progress,
    TensorPlan,
    data_start,
    write_gguf,
)
from zigllm_cli.jit import Kernel, compile_missing
from zigllm_cli.quantization.candidates import without_ones
from zigllm_cli.quantization.convert import Converter, Floats, kernels_of
from zigllm_cli.quantization.decisions import Decision, Decisions
from zigllm_cli.quantization.importance import Importance
from zigllm_cli.quantization.loss import Loss
from zigllm_cli.quantization.weights import Weights

QUANTIZATION_VERSION = 2
TEXT_LIMIT = 127
"""Bytes of a text about importance that are kept, as the reference does."""

Compiling = Callable[[int, int], None]


def write_quantized(
    file: GGUFFile,
    path: str | os.PathLike[str],
    decisions: Decisions,
    importance: Importance | None = None,
    *,
    importance_file: str = "",
    threads: int = 1,
    keep_split: bool = False,
    losses: dict[str, Loss] | None = None,
    compiling: Compiling | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the model that was decided on; returns its files.

    Args:
        importance_file: where the matrix came from, for the metadata.
        threads: that encode.
        keep_split: in as many files as the input has.
        losses: filled with what each changed tensor has lost, if given.
        compiling: told (done, all) while kernels are compiled.
        progress: told the tensor bytes written since the last call.

    Raises:
        ZigllmError: a tensor that needs importance has none.
        InputError: values that cannot be encoded, importance of another model, no place to write.
        UsageError: the output is the input.
    """
    return write_decided(
        path,
        new_entries(file, decisions, importance, importance_file),
        decisions,
        importance,
        trimmed=True,
        threads=threads,
        losses=losses,
        compiling=compiling,
        split_counts=_shards(file, decisions) if keep_split and len(file.paths) > 1 else None,
        order=file.byte_order,
        inputs=file.paths,
        progress=progress,
    )


def write_decided(
    path: str | os.PathLike[str],
    entries: Iterable[Entry],
    decisions: Decisions,
    importance: Importance | None = None,
    *,
    trimmed: bool = False,
    threads: int = 1,
    losses: dict[str, Loss] | None = None,
    compiling: Compiling | None = None,
    **how: Any,
) -> list[Path]:
    """Write tensors as decided behind metadata; `how` goes to `write_gguf`, which tells the rest.

    Args:
        trimmed: leave out dimensions of 1 at the end of a shape, as ggml does.

    Raises:
        ZigllmError: a tensor that needs importance has none.
    """
    lacking = decisions.first_without(importance.entries if importance else ())
    if lacking:
        raise ZigllmError(
            f"{lacking.name} would become {lacking.type}, which is of no use without an importance "
            "matrix; give --imatrix FILE (zigllm imatrix makes one)"
        )
    weights = {row.tensor.name: _importance_of(row, importance) for row in decisions.rows}
    changed = [row for row in decisions.rows if row.changes]
    compile_missing(_kernels(changed, weights, losses is not None), compiling)
    with Converter(threads, measure=losses is not None) as converter:
        plans = [_plan(row, converter, weights[row.tensor.name], trimmed) for row in decisions.rows]
        if how.get("order") == ">":
            plans = [_turned(plan) for plan in plans]
        paths = write_gguf(path, entries, plans, **how)
        if losses is not None:
            losses.update(converter.losses)
    return paths


def _importance_of(row: Decision, importance: Importance | None) -> Floats | None:
    return importance.of(row.tensor) if importance and row.changes else None


def _kernels(
    rows: Iterable[Decision], weights: dict[str, Floats | None], measured: bool
) -> Iterator[Kernel]:
    seen = set()
    for row in rows:
        given = weights[row.tensor.name]
        key = (row.tensor.type, row.type, given is None)
        if key not in seen:
            seen.add(key)
            yield from kernels_of(row, given)
            if measured and row.type.name != "F32":
                yield Kernel("dequantize", (row.type.name,))


def _plan(row: Decision, converter: Converter, weights: Floats | None, trimmed: bool) -> TensorPlan:
    tensor = row.tensor

    def chunks() -> Iterator[Chunk]:
        if row.changes:
            for piece in converter.chunks(row, weights):
                yield piece.data
        else:
            yield from _copied(tensor)

    shape = without_ones(tensor.shape) if trimmed else tensor.shape
    return TensorPlan(row.name, shape, row.type, chunks, tensor.order)


def _turned(plan: TensorPlan) -> TensorPlan:
    """The tensor in big-endian order, whichever it came in."""
    if plan.order == ">":
        return plan

    def chunks() -> Iterator[Chunk]:
        return (swapped(chunk, plan.type) for chunk in plan.chunks())

    return replace(plan, chunks=chunks, order=">")


def _copied(tensor: Weights) -> Iterator[Chunk]:
    """The bytes of a tensor that stays as it is; what has been written is let go."""
    start = 0
    for piece in pieces(tensor.numpy().reshape(-1).data, tensor.type, CHUNK_SIZE):
        yield piece
        tensor.forget(start, start + len(piece))
        start += len(piece)


def _shards(file: GGUFFile, decisions: Decisions) -> list[int]:
    """How many tensors each shard has."""
    counts = Counter(file.tensors[row.tensor.name].shard for row in decisions.rows)
    return [counts[shard] for shard in range(max(counts) + 1)]


def header_bytes(
    file: GGUFFile, decisions: Decisions, importance: Importance | None, importance_file: str
) -> int:
    """What stands before the tensors of the new file; its types do not change that."""
    entries = new_entries(file, decisions, importance, importance_file)
    plans = [
        TensorPlan(row.name, without_ones(row.tensor.shape), row.type, list)
        for row in decisions.rows
    ]
    return data_start(entries, plans)


def new_entries(
    file: GGUFFile, decisions: Decisions, importance: Importance | None, importance_file: str
) -> list[Entry]:
    """The old metadata and, behind it, what quantising changes, in the reference's order."""
    new = [
        Entry.make("general.quantization_version", ValueType.UINT32, QUANTIZATION_VERSION),
    ]
    number = decisions.kind.number
    if decisions.kind.copies:
        number = file.metadata.get("general.file_type", number)
    new.append(Entry.make("general.file_type", ValueType.UINT32, number))
    if importance:
        new += _importance_entries(importance, importance_file)
    if decisions.layers is not None:
        key = f"{file.architecture}.block_count"
        new.append(Entry.make(key, ValueType.UINT32, decisions.layers))
    replaced = {entry.key for entry in new} | set(SPLIT_KEYS)
    layout = file.headers[0].layout
    kept = [
        Entry.copy(field, layout)
        for key, field in file.metadata.fields.items()
        if key not in replaced
    ]
    return kept + new


def _importance_entries(importance: Importance, file: str) -> Iterator[Entry]:
    def text(key: str, value: str) -> Entry:
        short = value.encode()[:TEXT_LIMIT].decode("utf-8", "ignore")
        return Entry.make(f"quantize.imatrix.{key}", ValueType.STRING, short)

    yield text("file", file)
    if importance.datasets:
        yield text("dataset", importance.datasets[0])
    count = len(importance.entries)
    yield Entry.make("quantize.imatrix.entries_count", ValueType.UINT32, count)
    if importance.chunks > 0:
        yield Entry.make("quantize.imatrix.chunks_count", ValueType.UINT32, importance.chunks)
