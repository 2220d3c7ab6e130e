"""A trained model as a GGUF file: float32 tensors, the family's keys, the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zigllm_cli.gguf.entry import Entry
from zigllm_cli.gguf.types import TYPES_BY_NAME
from zigllm_cli.gguf.writer import TensorPlan, write_gguf
from zigllm_cli.train.entries import entry_of
from zigllm_cli.train.models import model
from zigllm_cli.train.shape import Shape
from zigllm_cli.train.values import Array


def write_model(
    path: Path,
    shape: Shape,
    arrays: Mapping[str, Array],
    vocabulary: list[Entry],
    general: Mapping[str, Any],
) -> None:
    """Write the file; it appears when it is whole.

    Args:
        arrays: the parameters by name, as `Parameters.views` gives them.
        vocabulary: the `tokenizer.*` entries.
        general: keys behind `general.`.
    """
    keys = {
        "general.architecture": shape.architecture,
        **{f"general.{key}": value for key, value in general.items()},
        **{
            f"{shape.architecture}.{key}": value
            for key, value in model(shape.architecture).metadata(shape).items()
        },
    }
    entries = [entry_of(key, value) for key, value in keys.items()]
    write_gguf(path, [*entries, *vocabulary], list(tensor_plans(shape, arrays)))


def tensor_plans(shape: Shape, arrays: Mapping[str, Array]) -> Iterator[TensorPlan]:
    """The tensors of the file, in the parameters' order."""
    for name, array in file_tensors(shape, arrays):
        yield plan_of(name, array)


def file_tensors(shape: Shape, arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """The file's name of each tensor, and its values."""
    module = model(shape.architecture)
    for tensor in module.tensors(shape):
        array = arrays[tensor.name]
        parts = module.split(shape, tensor.name)
        start = 0
        for part, rows in (parts or {tensor.name: len(array)}).items():
            full = part if part.endswith(".bias") else f"{part}.weight"
            yield full, array[start : start + rows]
            start += rows
    yield from getattr(module, "constants", lambda _: ())(shape)


def plan_of(name: str, array: Array) -> TensorPlan:
    """An array as a tensor of the file, in float32."""
    kind = TYPES_BY_NAME["F32"]
    data = np.ascontiguousarray(array, "<f4")
    return TensorPlan(name, tuple(reversed(array.shape)), kind, lambda: [data.data.cast("B")])
