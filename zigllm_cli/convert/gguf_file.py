"""GGUF files as a source: to another type or byte order, split or merged, or back to a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.convert.conversion import Conversion, Keys, Options, SourceTensor
from zigllm_cli.gguf import Array, Tensor, ValueType, open_gguf
from zigllm_cli.gguf.byteorder import swapped
from zigllm_cli.gguf.entry import TypedList
from zigllm_cli.gguf.writer import SPLIT_KEYS


def recognises(path: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def read(path: Path, options: Options) -> Conversion:
    """The model of a file, or of the first shard of a split one.

    Raises:
        InputError: it is damaged, or a shard is missing.
    """
    file = open_gguf(path)
    keys = Keys(file.architecture)
    for key, field in file.metadata.fields.items():
        if key not in SPLIT_KEYS:
            keys.put(key, field.type, listed(field.value))
    if options.name:
        keys.text("general.name", options.name)
    if options.pre:
        keys.text("tokenizer.ggml.pre", options.pre)
    order = "big-endian " if file.byte_order == ">" else ""
    return Conversion(
        f"{order}GGUF file",
        file.architecture,
        keys,
        {name: source_tensor(tensor) for name, tensor in file.tensors.items()},
        tuple(file.paths),
        is_gguf=True,
    )


def listed(value: Any) -> Any:
    """A metadata value as it is written again: an array as its items."""
    if not isinstance(value, Array):
        return value
    items = [listed(item) for item in value] if value.element_type is ValueType.ARRAY else value
    return TypedList(value.element_type, items)


def source_tensor(tensor: Tensor) -> SourceTensor:
    """A tensor of a file that was opened, whichever its byte order."""
    release = partial(tensor.forget, 0, tensor.nbytes)
    return SourceTensor(tensor.name, tensor.shape, tensor.type, partial(_read, tensor), release)


def _read(tensor: Tensor) -> NDArray[np.uint8]:
    """The bytes, little-endian."""
    if tensor.order == "<":
        return tensor.numpy()
    return np.frombuffer(swapped(tensor.data, tensor.type), np.uint8)
