"""Quantised values as floats.

The decoders are those of the `gguf` package until this package has kernels of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf.types import tensor_type

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def dequantize(data: NDArray[np.uint8], type: int | str, row_length: int) -> NDArray[np.float32]:
    """Decode rows of a ggml type.

    Args:
        data: uint8 [rows, row_bytes], the bytes as a little-endian file holds them.
        type: ggml name such as "Q4_K", or its number.
        row_length: values per row.

    Returns:
        float32 [rows, row_length].

    Raises:
        InputError: the rows do not have the bytes that the type needs.
        UnsupportedError: no decoder for this type.
    """
    kind = tensor_type(type)
    blocks, rest = divmod(row_length, kind.block_size)
    if rest or data.ndim != 2 or data.shape[1] != blocks * kind.block_bytes:
        raise InputError(
            f"rows of {row_length} {kind.name} values do not fit an array of shape {data.shape}"
        )
    values: NDArray[np.float32] = _decode(data, kind.name)
    return values


def _decode(data: NDArray[np.uint8], name: str) -> Any:
    import gguf
    import numpy as np

    plain = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "i1", "I16": "<i2"}
    plain |= {"I32": "<i4", "I64": "<i8"}
    if name in plain:
        return np.ascontiguousarray(data).view(plain[name]).astype(np.float32)
    try:
        kind = gguf.GGMLQuantizationType[name]
        with np.errstate(all="ignore"):
            return gguf.quants.dequantize(data, kind)
    except (KeyError, NotImplementedError):
        raise UnsupportedError(f"values of type {name} cannot be decoded yet") from None
