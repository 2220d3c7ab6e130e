"""Write a conversion as GGUF: piece by piece, on all cores; nothing appears before all is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zigllm_cli.convert.conversion import Conversion
from zigllm_cli.gguf import ValueType
from zigllm_cli.gguf.entry import Entry
from zigllm_cli.quantization.decisions import Decisions
from zigllm_cli.quantization.file_types import file_type
from zigllm_cli.quantization.write import QUANTIZATION_VERSION, write_decided


def write_conversion(
    conversion: Conversion,
    path: str | os.PathLike[str],
    decisions: Decisions,
    **how: Any,
) -> list[Path]:
    """Write the model, its tensors as decided; returns its files.

    Args:
        how: what `write_decided` and `write_gguf` take: importance, threads, progress, compiling,
            split_max_bytes, order.

    Raises:
        InputError: the source is damaged, or there is no place to write.
        UsageError: the output is a file of the source.
    """
    entries = list(all_entries(conversion, decisions))
    return write_decided(path, entries, decisions, inputs=conversion.paths, **how)


def all_entries(conversion: Conversion, decisions: Decisions) -> Iterator[Entry]:
    """The metadata, with what the types decide behind `general.*`."""
    made = ("general.file_type", "general.quantization_version")
    entries = [entry for entry in conversion.keys.entries() if entry.key not in made]
    count = 1 + max(i for i, entry in enumerate(entries) if entry.key.startswith("general."))
    yield from entries[:count]
    number = file_type_number(conversion, decisions)
    yield Entry.make("general.file_type", ValueType.UINT32, number)
    yield Entry.make("general.quantization_version", ValueType.UINT32, QUANTIZATION_VERSION)
    yield from entries[count:]


def file_type_number(conversion: Conversion, decisions: Decisions) -> int:
    """`general.file_type`; a file whose experts came as MXFP4 says so, a copy says what it said."""
    if decisions.kind.copies:
        return int(conversion.metadata.get("general.file_type", 0))
    plain = not decisions.kind.default.is_quantized
    if plain and any(row.type.name == "MXFP4" for row in decisions.rows):
        return file_type("MXFP4_MOE").number
    return decisions.kind.number
