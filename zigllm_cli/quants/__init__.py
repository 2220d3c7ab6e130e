"""Quantised values as floats and back, and the formats that products read as they are.

A format is its `layouts.Layout` and a module of its name that unpacks it; `encoders` make its
bytes. This file knows only how to decode and encode whole rows: through the kernels that all
formats share, or, where a type is made of plain numbers, through NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants.layouts import LAYOUTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

PLAIN = {
    "F32": "<f4",
    "F64": "<f8",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}
"""Types that NumPy has too, but for half floats, which a kernel converts faster."""


def dequantize(data: Bytes, type: int | str, row_length: int) -> Floats:
    """Decode rows of a ggml type.

    Args:
        data: uint8 [rows, row_bytes], the bytes as a little-endian file holds them.
        type: ggml name such as "Q4_K", or its number.
        row_length: values per row.

    Returns:
        float32 [rows, row_length], bit for bit what ggml's own decoders give.

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
    if kind.name in PLAIN:
        return _plain(data, PLAIN[kind.name])
    if kind.name in ("Q8_1", "Q8_K"):
        return _stored_sums(data, kind.name)
    if kind.name in LAYOUTS or kind.name in ("F16", "BF16"):
        return _by_kernel(data, kind.name, row_length)
    raise UnsupportedError(f"values of type {kind.name} cannot be decoded yet")


def _plain(data: Bytes, code: str) -> Floats:
    import numpy as np

    return np.ascontiguousarray(data).view(code).astype(np.float32)


def _stored_sums(data: Bytes, name: str) -> Floats:
    """Q8_1 and Q8_K, in which activations are kept: one scale, bytes, and sums of them."""
    import numpy as np

    fields = {
        "Q8_1": [("d", "<f2"), ("sum", "<f2"), ("q", "i1", 32)],
        "Q8_K": [("d", "<f4"), ("q", "i1", 256), ("sums", "<i2", 16)],
    }
    blocks = np.ascontiguousarray(data).view(np.dtype(fields[name]))
    values = blocks["d"].astype(np.float32)[..., None] * blocks["q"].astype(np.float32)
    return values.reshape(len(data), -1)


def _by_kernel(data: Bytes, name: str, row_length: int) -> Floats:
    import numpy as np

    from zigllm_cli.jit import Kernel, call

    if data.strides[1] != 1:
        data = np.ascontiguousarray(data)
    out = np.empty((len(data), row_length), np.float32)
    if out.size:
        address = out.ctypes.data
        words = (data.ctypes.data, data.strides[0], len(data), row_length, address, 4 * row_length)
        args = np.array(words, np.int64)
        call(Kernel("dequantize", (name,)))(args.ctypes.data, 0, 1)
    return out


def quantize(values: Floats, type: int | str, importance: Floats | None = None) -> Bytes:
    """Encode rows as a ggml type, byte for byte as ggml's own encoders do.

    Args:
        values: float32 [rows, columns].
        type: ggml name such as "Q4_K", or its number.
        importance: float32 [columns], what an error in each column costs: the mean square of the
            activation that it is multiplied with. IQ2_XXS, IQ2_XS and IQ1_S take ones where none
            is given.

    Returns:
        uint8 [rows, row_bytes], as a little-endian file holds them.

    Raises:
        InputError: columns that are not whole blocks, importance of another length, or values
            that are not finite or too large for the type.
        UnsupportedError: no encoder for this type.
    """
    import numpy as np

    from zigllm_cli.quants.encoding import Encoder

    values = np.ascontiguousarray(values, np.float32)
    if values.ndim != 2:
        raise InputError(f"rows of values are needed, not an array of shape {values.shape}")
    encoder = Encoder(type, values.shape[1], importance)
    out = np.empty((len(values), encoder.row_bytes), np.uint8)
    encoder(values, out)
    return out
