"""Adapters: GGUF files with low-rank changes of a model's tensors (LoRA), as llama.cpp has them.

    general.type = "adapter", adapter.type = "lora", adapter.lora.alpha
    TENSOR.lora_a [rank, columns], TENSOR.lora_b [rows, rank]; experts have a dimension more
    token_embd.weight.lora_a [tokens, rank]

The change of W is scale * alpha / rank * B A; without alpha, scale * B A.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import InputError, UnsupportedError, UsageError
from zigllm_cli.gguf import GGUFFile, TensorType, open_gguf
from zigllm_cli.plan.adapters import TABLE, LowRank
from zigllm_cli.quants import dequantize

Spec = str | os.PathLike[str] | tuple[str | os.PathLike[str], float]
"""FILE, "FILE=SCALE" or (FILE, SCALE)."""

ENDINGS = (".lora_a", ".lora_b")


class AnyTensor(Protocol):
    """A tensor of a GGUF file, or of one to be; shapes are ggml's."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def type(self) -> TensorType: ...
    @property
    def row_length(self) -> int: ...
    def numpy(self) -> NDArray[np.uint8]: ...


class Changed(Protocol):
    """A model, or an adapter: a GGUF file, or what will be one."""

    @property
    def architecture(self) -> str: ...
    @property
    def tensors(self) -> Mapping[str, AnyTensor]: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def paths(self) -> Sequence[Path]: ...


def parse_spec(spec: Spec) -> tuple[Path, float]:
    """The file and how much of it is added.

    Raises:
        UsageError: the scale is no number.
    """
    if isinstance(spec, tuple):
        path, scale = Path(spec[0]), float(spec[1])
    else:
        text = os.fspath(spec)
        stem, sign, number = text.rpartition("=")
        if not sign or Path(text).exists():
            return Path(text), 1.0
        try:
            path, scale = Path(stem), float(number)
        except ValueError:
            raise UsageError(
                f"{text}: the scale {number!r} is not a number; write FILE=0.5, or FILE alone"
            ) from None
    if not isfinite(scale):
        raise UsageError(f"the scale of {path} is {scale}: it must be a finite number")
    return path, scale


def attach(file: GGUFFile, specs: Iterable[Spec]) -> None:
    """Have a model run with adapters from now on.

    Raises:
        InputError: a file is no adapter, damaged, or its shapes are not those of the model.
        UnsupportedError: an adapter for another architecture, or of another kind.
    """
    for spec in specs:
        path, scale = parse_spec(spec)
        adapter = open_adapter(path)
        check(adapter, file)
        file.adapters.append((adapter, scale))


def open_adapter(path: Path) -> GGUFFile:
    """An adapter that this program understands.

    Raises:
        InputError: it is no adapter, or lacks half of a pair.
        UnsupportedError: another kind.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: make a GGUF file of it with zigllm convert first")
    adapter = open_gguf(path)
    check_adapter(adapter)
    return adapter


def check_adapter(adapter: GGUFFile) -> None:
    """Whether a file is an adapter that this program understands.

    Raises:
        InputError: it is none, or lacks half of a pair.
        UnsupportedError: another kind.
    """
    path = adapter.path
    if adapter.metadata.get("general.type") != "adapter":
        raise InputError(
            f"{path} is a model, not an adapter: make one of a PEFT folder with zigllm convert"
        )
    kind = adapter.metadata.get("adapter.type")
    if kind != "lora":
        raise UnsupportedError(f"{path} is an adapter of type {kind!r:.50}; only lora is known")
    if "adapter.alora.invocation_tokens" in adapter.metadata:
        raise UnsupportedError(f"{path} is an activated LoRA, which works from a phrase on only")
    for name in adapter.tensors:
        stem, ending = name[:-7], name[-7:]
        if ending not in ENDINGS:
            raise UnsupportedError(f"{path}: tensor {name} is no low-rank change")
        if any(stem + other not in adapter.tensors for other in ENDINGS):
            raise InputError(f"{path}: only one half of {stem}.lora_a and .lora_b is there")
    if not adapter.tensors:
        raise InputError(f"{path} has no tensors")


def check(adapter: Changed, file: Changed) -> None:
    """Whether an adapter is one for this model.

    Raises:
        InputError: a tensor is missing, or its shape is another.
        UnsupportedError: it is for another architecture.
    """
    if adapter.architecture != file.architecture:
        raise UnsupportedError(
            f"{adapter.paths[0]} is for {adapter.architecture or 'no architecture'},"
            f" but the model is {file.architecture}"
        )
    for name in targets(adapter):
        if name not in file.tensors:
            raise InputError(f"{adapter.paths[0]} changes {name}, which the model has not")
        _check_shape(adapter, name, file.tensors[name].shape)


def targets(adapter: Changed) -> list[str]:
    """The tensors that it changes."""
    return [name.removesuffix(".lora_a") for name in adapter.tensors if name.endswith(".lora_a")]


def _check_shape(adapter: Changed, name: str, shape: tuple[int, ...]) -> None:
    """Shapes are ggml's: columns first.

    Raises:
        InputError: the pair does not change a tensor of this shape.
    """
    a, b = (adapter.tensors[name + ending].shape for ending in ENDINGS)
    rank = b[0] if b else 0
    columns, rows, *more = (*shape, 0, 0)[: max(len(shape), 2)]
    wanted = ((columns, rank, *more), (rank, rows, *more))
    if name == TABLE:
        wanted = ((rank, rows), (rank, columns))
    if not rank or (a, b) != wanted:
        raise InputError(
            f"{adapter.paths[0]} changes {name} by {a} and {b}, which do not fit its shape {shape}:"
            " it was trained on another model"
        )


def change_of(adapter: Changed, name: str, scale: float) -> LowRank:
    """The change of one tensor, read."""
    tensors = [adapter.tensors[name + ending] for ending in ENDINGS]
    a, b = (
        dequantize(t.numpy(), t.type.name, t.row_length).reshape(t.shape[::-1]) for t in tensors
    )
    alpha = adapter.metadata.get("adapter.lora.alpha")
    if isinstance(alpha, float) and alpha:
        scale *= alpha / b.shape[-1]
    return LowRank(a.T if name == TABLE else a, b * np.float32(scale))


def changes(file: GGUFFile) -> dict[str, LowRank]:
    """All changes by the adapters of a model, those of one tensor joined."""
    found: dict[str, LowRank] = {}
    for adapter, scale in file.adapters:
        for name in targets(adapter):
            change = change_of(adapter, name, scale)
            found[name] = found[name].joined(change) if name in found else change
    return found
