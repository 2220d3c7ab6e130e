"""Keys and tensors as lists, and one of them by its name."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import Array, Field, GGUFFile, Tensor
from zigllm_cli.inspection.formats import did_you_mean, shortened, type_text

SHORT_ARRAY = 8
"""Elements of an array that a listing shows."""


@dataclass(frozen=True)
class MetadataRow:
    """One key.

    Attributes:
        type: as `--type` reads it, `arr:str` for a list of texts.
        count: elements of an array; None for other values.
        value: the value; of an array its first `SHORT_ARRAY` elements.
    """

    key: str
    type: str
    count: int | None
    value: Any


@dataclass(frozen=True)
class TensorRow:
    """One tensor.

    Attributes:
        shape: the contiguous dimension first.
        offset: of its first byte in file number `shard`.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    parameters: int
    bytes: int
    offset: int
    shard: int


def metadata_rows(file: GGUFFile, pattern: str | None = None) -> list[MetadataRow]:
    """All keys, or those that match the glob `pattern`, in file order."""
    return [
        metadata_row(field) for key, field in file.metadata.fields.items() if matches(key, pattern)
    ]


def metadata_row(field: Field) -> MetadataRow:
    """One key with its value shortened."""
    count = len(field.value) if isinstance(field.value, Array) else None
    value = shortened(field.value, field.type, SHORT_ARRAY)
    return MetadataRow(field.key, type_text(field), count, value)


def tensor_rows(file: GGUFFile, pattern: str | None = None) -> list[TensorRow]:
    """All tensors, or those that match the glob `pattern`, in file order."""
    return [tensor_row(tensor) for name, tensor in file.tensors.items() if matches(name, pattern)]


def tensor_row(tensor: Tensor) -> TensorRow:
    """What the file says about one tensor."""
    return TensorRow(
        name=tensor.name,
        shape=tensor.shape,
        type=tensor.type.name,
        parameters=tensor.n_elements,
        bytes=tensor.nbytes,
        offset=tensor.offset,
        shard=tensor.shard,
    )


def matches(name: str, pattern: str | None) -> bool:
    """Whether `name` is one of those that the glob `pattern` (*, ?, [..]) asks for."""
    return pattern is None or fnmatchcase(name, pattern)


def find_field(file: GGUFFile, key: str) -> Field:
    """The entry of this key.

    Raises:
        InputError: there is none; the message names similar keys.
    """
    fields = file.metadata.fields
    if key not in fields:
        hint = did_you_mean(key, fields, "--metadata lists all keys")
        raise InputError(f"{file.path} has no key {key!r}; {hint}")
    return fields[key]


def find_tensor(file: GGUFFile, name: str) -> Tensor:
    """The tensor of this name.

    Raises:
        InputError: there is none; the message names similar ones.
    """
    if name not in file.tensors:
        hint = did_you_mean(name, file.tensors, "--tensors lists all tensors")
        raise InputError(f"{file.path} has no tensor {name!r}; {hint}")
    return file.tensors[name]
