"""Types of values as safetensors and torch name them, and how values of each are read.

ggml has most of them. Unsigned integers and truth values become wider signed ones, 8-bit floats
become float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zigllm_cli.convert.values import DTYPES, Array, Values
from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf.types import tensor_type

WIDENED = {
    "U8": ("I16", "<i2"),
    "BOOL": ("I8", "i1"),
    "U16": ("I32", "<i4"),
    "U32": ("I64", "<i8"),
}
"""Types that become a wider one, and NumPy's dtype of that."""

FP8 = ("F8_E4M3", "F8_E5M2")

SIZES = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2},
    **{"I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1},
}
"""Bytes of a value."""


def stored_dtype(dtype: str) -> str:
    """NumPy's dtype of values as they stand in files, little-endian.

    BF16 and 8-bit floats, which NumPy does not have, are unsigned integers of their size.
    """
    return DTYPES.get(dtype, f"<u{SIZES.get(dtype, 1)}")


def stored_values(
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    read: Callable[[], Array],
    release: Callable[[], None] | None = None,
) -> Values:
    """A tensor of a source, not read yet.

    Args:
        read: gives the values as they are stored: of `dtype`, or unsigned integers of its size.

    Raises:
        UnsupportedError: of a type that is not converted.
    """
    if dtype in FP8:
        table = fp8_table(dtype)
        return Values(name, shape, tensor_type("F32"), lambda: table[read()], release)
    if dtype in WIDENED:
        kind, wider = WIDENED[dtype]
        return Values(name, shape, tensor_type(kind), lambda: read().astype(wider), release)
    if dtype not in DTYPES:
        raise UnsupportedError(f"tensor {name} is of type {dtype:.40}, which is not converted")

    def little() -> Array:
        array = read()
        return array.astype(array.dtype.newbyteorder("<"), copy=False)

    return Values(name, shape, tensor_type(dtype), little, release)


def fp8_table(dtype: str) -> Array:
    """float32 [256]: the value of every byte (OCP 8-bit floating point specification, 2023)."""
    byte = np.arange(256)
    exponent_bits, mantissa_bits, bias = (4, 3, 7) if dtype == "F8_E4M3" else (5, 2, 15)
    exponent = byte >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = byte & (1 << mantissa_bits) - 1
    fraction = mantissa / (1 << mantissa_bits)
    value = np.where(
        exponent == 0, np.ldexp(fraction, 1 - bias), np.ldexp(1 + fraction, exponent - bias)
    )
    if dtype == "F8_E4M3":
        value = np.where(byte & 0x7F == 0x7F, np.nan, value)
    else:
        value = np.where(exponent == 31, np.where(mantissa == 0, np.inf, np.nan), value)
    return np.where(byte >> 7, -value, value).astype(np.float32)
