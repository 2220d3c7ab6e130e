"""Adapters merged into the weights of a conversion: W + scale * alpha / rank * B A, in float32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.convert import peft
from zigllm_cli.convert.conversion import Conversion, Options, SourceTensor
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.models.adapters import Changed, change_of, check, open_adapter, parse_spec, targets
from zigllm_cli.plan.adapters import TABLE, LowRank
from zigllm_cli.quantization.convert import floats

ROWS = 1024
"""Of W that are changed at a time: B A of a whole matrix would need as much memory again."""


def merged(conversion: Conversion, specs: Iterable[str], source: Path) -> Conversion:
    """A conversion whose tensors have taken in adapters.

    It is no copy of a GGUF file any more: what was changed is float32 and gets a type like any
    checkpoint's tensors, what was not keeps its blocks.

    Args:
        specs: FILE or FILE=SCALE, GGUF adapters or PEFT folders.
        source: of the conversion, the base of PEFT folders.

    Raises:
        InputError: a file is no adapter, or one of another model.
        UnsupportedError: an adapter for another architecture, or of another kind.
    """
    tensors = dict(conversion.tensors)
    paths, notes = list(conversion.paths), list(conversion.notes)
    for spec in specs:
        path, scale = parse_spec(spec)
        adapter: Changed = (
            peft.read(path, Options(base=source)) if path.is_dir() else open_adapter(path)
        )
        check(adapter, conversion)
        names = targets(adapter)
        for name in names:
            tensors[name] = _changed(tensors[name], change_of(adapter, name, scale))
        paths += adapter.paths
        times = "" if scale == 1 else f", {scale:g} times,"
        notes.append(f"merged {path}{times} into {len(names)} tensors")
    return replace(
        conversion, tensors=tensors, paths=tuple(paths), notes=tuple(notes), is_gguf=False
    )


def _changed(tensor: SourceTensor, change: LowRank) -> SourceTensor:
    read = partial(_sum, tensor, change)
    return replace(tensor, type=tensor_type("F32"), order="<", read=read)


def _sum(tensor: SourceTensor, change: LowRank) -> NDArray[np.float32]:
    """The new weights, float32 [rows, columns]."""
    values = np.array(floats(tensor, tensor.numpy()), np.float32)
    a, b = (change.b.T, change.a.T) if tensor.name == TABLE else (change.a, change.b)
    for start, one_a, one_b in _matrices(a, b):
        for first in range(0, len(one_b), ROWS):
            part = one_b[first : first + ROWS]
            values[start + first : start + first + len(part)] += part @ one_a
    return values


def _matrices(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """The first row and the change of each expert, or of the one matrix."""
    if a.ndim == 2:
        yield 0, a, b
        return
    for expert in range(len(a)):
        yield expert * b.shape[1], a[expert], b[expert]
