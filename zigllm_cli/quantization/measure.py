"""What each type would do to each tensor: noise to signal, measured on rows of the tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.gguf import GGUFFile, Tensor
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.jit import Kernel, compile_missing
from zigllm_cli.quantization.candidates import is_candidate
from zigllm_cli.quantization.convert import Converter, floats
from zigllm_cli.quantization.decisions import ALWAYS_WEIGHTED, Decision
from zigllm_cli.quantization.importance import Importance
from zigllm_cli.quantization.loss import Loss
from zigllm_cli.quantization.mixes import EMBEDDINGS, OUTPUT
from zigllm_cli.quants import dequantize
from zigllm_cli.quants.encoding import Encoder

Floats = NDArray[np.float32]
Compiling = Callable[[int, int], None]
Progress = Callable[[int], None]

LADDER = (
    "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "Q3_K", "IQ3_S",
    "IQ4_XS", "Q4_0", "IQ4_NL", "Q4_K", "Q4_1", "Q5_0", "Q5_K", "Q5_1", "Q6_K", "Q8_0", "F16",
)  # fmt: skip
"""Types to choose from; those for models trained in a way of their own are left out."""

SAMPLE = 1 << 16
"""Values of a tensor that errors are measured on, in pieces from all over it."""

PIECES = 4

Noises = dict[str, dict[str, float]]
"""By tensor and type: noise to signal."""


def work(file: GGUFFile) -> int:
    """What `measure` tells its progress of, all in all."""
    matrices = [t for t in file.tensors.values() if is_candidate(t.name, t.shape)]
    return sum(4 * min(t.n_elements, SAMPLE) for t in matrices)


def measure(
    file: GGUFFile,
    rows: Iterable[Decision],
    importance: Importance | None,
    threads: int,
    compiling: Compiling | None = None,
    progress: Progress | None = None,
) -> Noises:
    """Noise to signal of every tensor in every type that fits it."""
    rows = list(rows)
    given = {row.name: importance.of(row.tensor) if importance else None for row in rows}
    options = {row.name: types_for(row, given[row.name] is not None) for row in rows}
    kernels: set[Kernel] = set()
    for row in rows:
        for name in options[row.name]:
            weights = given[row.name]
            encoder = Encoder(name, row.tensor.row_length, None if weights is None else weights[0])
            kernels |= {kernel for kernel in (encoder.kernel,) if kernel}
            kernels.add(Kernel("dequantize", (name,)))
        if row.tensor.type.name != "F32":
            kernels.add(Kernel("dequantize", (row.tensor.type.name,)))
    compile_missing(kernels, compiling)
    noises: Noises = {}
    with Converter(threads) as converter:
        calls = ((noise_of, row.tensor, options[row.name], given[row.name]) for row in rows)
        for row, found in zip(rows, converter.in_order(calls), strict=True):
            noises[row.name] = found
            if progress:
                progress(4 * min(row.tensor.n_elements, SAMPLE))
    return noises


def types_for(row: Decision, has_importance: bool) -> list[str]:
    """Types that the rows of a tensor can have, and that are of use."""
    exempt = row.name in EMBEDDINGS or row.name == OUTPUT
    return [
        name
        for name in LADDER
        if row.tensor.row_length % tensor_type(name).block_size == 0
        and (has_importance or exempt or name not in ALWAYS_WEIGHTED)
    ]


def noise_of(tensor: Tensor, types: Iterable[str], importance: Floats | None) -> dict[str, float]:
    """Noise to signal of a sample of a tensor in some types."""
    pieces = [(floats(tensor, piece), matrix) for piece, matrix in _sample(tensor, importance)]
    result = {}
    for name in types:
        total = Loss()
        for values, matrix in pieces:
            weights = None if importance is None else importance[matrix]
            encoder = Encoder(name, tensor.row_length, weights)
            out = np.empty((len(values), encoder.row_bytes), np.uint8)
            encoder(values, out)
            decoded = dequantize(out, name, tensor.row_length)
            total += Loss.between(values, decoded, weights)
        result[name] = total.noise
    return result


def _sample(tensor: Tensor, importance: Floats | None) -> Iterator[tuple[Any, int]]:
    """Neighbouring rows from several places, and the matrix of the stack that they are of."""
    data, matrices = tensor.numpy(), 1 if importance is None else len(importance)
    rows = tensor.rows // matrices
    wanted = min(max(SAMPLE // PIECES // max(tensor.row_length, 1), 1), rows)
    seen = set()
    for k in range(PIECES):
        matrix = k * matrices // PIECES
        first = (rows - wanted) * k // max(PIECES - 1, 1)
        start = matrix * rows + first
        if start not in seen:
            seen.add(start)
            yield data[start : start + wanted], matrix
