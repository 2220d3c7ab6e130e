"""Values that are not finite. Plain types are read in full, of block types only the scales.

A value of a block type is a small whole number times the scale of its block, so it is finite
exactly if the scale is; reading two bytes in twenty makes a file of 10 GB a matter of seconds.
Positions of the scales: the block structures of ggml-common.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.gguf import GGUFFile, Tensor
from zigllm_cli.inspection.findings import Finding, note, problem
from zigllm_cli.inspection.values import PLAIN

CHUNK_BYTES = 8 << 20
FLOATS = ("F32", "F16", "F64", "BF16")

HALF_SCALES: dict[str, tuple[int, ...]] = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q8_1": (0, 2),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ2_XXS": (0,),
    "IQ2_XS": (0,),
    "IQ2_S": (0,),
    "IQ3_XXS": (0,),
    "IQ3_S": (0,),
    "IQ1_S": (0,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
    "Q1_0": (0,),
    "Q2_0": (0,),
}
"""Type to the offsets of its half-precision scales within a block."""

Progress = Callable[[int], None]
Bytes = NDArray[np.uint8]


@dataclass
class _Counts:
    """What was found in one tensor; `bad` are values of plain types, blocks of others."""

    nan: int = 0
    infinite: int = 0
    bad: int = 0
    nonzero: int = 0


def check_values(file: GGUFFile, progress: Progress | None = None) -> Iterator[Finding]:
    """Tensors with NaN, infinity or broken scales, and matrices that are nothing but zeros."""
    for tensor in file.tensors.values():
        counts = count_tensor(tensor, progress)
        if counts is None:
            yield note("values", f"{tensor.name}: scales of {tensor.type} are not looked at")
            continue
        if counts.bad:
            yield problem("values", _sentence(tensor, counts), tensor.name)
        is_matrix = len(tensor.shape) > 1 and tensor.name.endswith(".weight")
        if is_matrix and tensor.n_elements and not counts.nonzero:
            yield note("values", f"{tensor.name} holds only zeros", tensor.name)


def _sentence(tensor: Tensor, counts: _Counts) -> str:
    what = f"{counts.nan} NaN and {counts.infinite} infinite"
    if not tensor.type.is_quantized:
        return f"{tensor.name} has {what} values of {tensor.n_elements}"
    blocks = tensor.n_elements // tensor.type.block_size
    return f"{tensor.name} has {what} scales, in {counts.bad} of {blocks} blocks"


def count_tensor(tensor: Tensor, progress: Progress | None = None) -> _Counts | None:
    """Go through one tensor; None for types whose scales are not known here."""
    kind, order = tensor.type, tensor.header.byte_order
    data = np.frombuffer(tensor.data, np.uint8)
    counts = _Counts()
    step = CHUNK_BYTES // kind.block_bytes * kind.block_bytes
    for start in range(0, data.size, step):
        piece = data[start : start + step]
        with np.errstate(invalid="ignore"):  # signalling NaN
            if kind.name in PLAIN or kind.name == "BF16":
                _count_plain(piece, kind.name, order, counts)
            else:
                scales = _scales(piece.reshape(-1, kind.block_bytes), kind.name, order)
                if scales is None:
                    return None
                _count_scales(scales, counts)
        if progress is not None:
            progress(piece.size)
    return counts


def _count_plain(piece: Bytes, name: str, order: str, counts: _Counts) -> None:
    if name == "BF16":
        values = (piece.view(f"{order}u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = piece.view(order + PLAIN[name])
    counts.nonzero += int(np.count_nonzero(values))
    if name in FLOATS:
        nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        counts.nan += nan
        counts.infinite += infinite
        counts.bad += nan + infinite


def _count_scales(scales: NDArray[np.float32], counts: _Counts) -> None:
    """`scales`: [blocks, scales per block]."""
    counts.nan += int(np.isnan(scales).sum())
    counts.infinite += int(np.isinf(scales).sum())
    counts.bad += int((~np.isfinite(scales)).any(axis=1).sum())
    counts.nonzero += int(np.count_nonzero(scales))


def _scales(blocks: Bytes, name: str, order: str) -> NDArray[np.float32] | None:
    """The scales of all blocks as floats [blocks, scales], or None for an unknown type.

    Scales that are eight-bit exponents become 1, 0 or NaN: only that matters here.
    """
    if name in HALF_SCALES:
        columns = [_halves(blocks[:, at : at + 2], order) for at in HALF_SCALES[name]]
        return np.concatenate(columns, axis=1)
    if name == "Q8_K":
        return np.ascontiguousarray(blocks[:, :4]).view(f"{order}f4").astype(np.float32)
    if name == "MXFP4":  # E8M0: 255 is NaN, there is no infinity and no zero
        return np.where(blocks[:, :1] == 0xFF, np.float32(np.nan), np.float32(1))
    if name == "NVFP4":  # four unsigned E4M3 scales: 0x7f is NaN
        small = blocks[:, :4] & 0x7F
        return np.where(small == 0x7F, np.float32(np.nan), np.sign(small).astype(np.float32))
    if name == "IQ1_M":  # one half-precision scale, in the top bits of four 16-bit words
        words = np.ascontiguousarray(blocks[:, 48:56]).view(f"{order}u2")
        parts = (words >> 12).astype(np.uint16)
        bits = parts[:, 0] | parts[:, 1] << 4 | parts[:, 2] << 8 | parts[:, 3] << 12
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)[:, None]
    return None


def _halves(columns: Bytes, order: str) -> NDArray[np.float32]:
    return np.ascontiguousarray(columns).view(f"{order}f2").astype(np.float32)
