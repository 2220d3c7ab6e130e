"""Tensors as numbers, a chunk at a time: a tensor of 10 GB takes a few megabytes to read.

Plain types of either byte order are read as they lie; block types go through
`zigllm_cli.quants`, which knows little-endian files only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf import Tensor
from zigllm_cli.quants import dequantize

CHUNK = 1 << 20
"""Values in a chunk, at most; a multiple of every block size."""

PLAIN = {"F32": "f4", "F64": "f8", "F16": "f2", "I8": "i1", "I16": "i2", "I32": "i4", "I64": "i8"}
"""numpy's names of the types whose values stand on their own; BF16 has none."""

Values = NDArray[np.float32] | NDArray[np.float64]


def chunks(tensor: Tensor) -> Iterator[Values]:
    """All values in file order, in one-dimensional pieces.

    Pieces of two tensors of equal shape have equal lengths, whatever their types.

    Raises:
        UnsupportedError: no decoder for the type, or a block type in a big-endian file.
    """
    _refuse(tensor)
    data = np.frombuffer(tensor.data, np.uint8)
    for start, stop, row in _pieces(tensor):
        with np.errstate(all="ignore"):  # signalling NaN, scales of a broken file
            values = _decode(data[start:stop], tensor, row)
        yield values


def finite_part(values: Values) -> Values:
    """The values that are neither NaN nor infinite; mostly all of them, and then no copy."""
    is_finite = np.isfinite(values)
    return values if is_finite.all() else values[is_finite]


def wide(values: Values) -> NDArray[np.float64]:
    """The values in 64 bits, without the warning that numpy gives about a signalling NaN."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)


def _refuse(tensor: Tensor) -> None:
    if tensor.header.byte_order == ">" and tensor.type.is_quantized:
        raise UnsupportedError(
            f"tensor {tensor.name!r} is {tensor.type} in a big-endian file; only F32, F16, BF16 "
            "and whole numbers are read there, convert the file to little-endian first"
        )


def _pieces(tensor: Tensor) -> Iterator[tuple[int, int, int]]:
    """(first byte, byte behind, values per row): whole rows where several fit in a chunk."""
    kind, total = tensor.type, tensor.n_elements
    row = tensor.row_length
    step = CHUNK // row * row if 0 < row <= CHUNK else CHUNK
    for start in range(0, total, step):
        stop = min(start + step, total)
        length = row if row <= CHUNK else stop - start
        yield (
            start // kind.block_size * kind.block_bytes,
            stop // kind.block_size * kind.block_bytes,
            length,
        )


def _decode(data: NDArray[np.uint8], tensor: Tensor, row: int) -> Values:
    kind, order = tensor.type, tensor.header.byte_order
    if kind.name == "BF16":
        high = data.view(f"{order}u2").astype(np.uint32) << 16
        return high.view(np.float32)
    if kind.name in PLAIN:
        plain: NDArray[Any] = data.view(order + PLAIN[kind.name])
        is_wide = kind.name in ("F64", "I32", "I64")
        return plain.astype(np.float64) if is_wide else plain.astype(np.float32)
    row_bytes = row // kind.block_size * kind.block_bytes
    return dequantize(data.reshape(-1, row_bytes), kind.name, row).reshape(-1)
