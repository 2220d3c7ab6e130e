"""One tensor's encoder, ready to be called with rows: type, width and importance settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.jit import Kernel, call
from zigllm_cli.quants.encoders import (
    FAMILY_OF,
    WEIGHTED_APART,
    WEIGHTS_IGNORED,
    WEIGHTS_NEEDED,
    tables,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

FINITE = 0x7F800000
"""Bits of floats below these are finite."""

LARGE = 0x47000000
"""The bits of 32768: from here on a scale could be beyond the half floats."""


class Encoder:
    """Rows of float32 to one type.

    Attributes:
        type: the type's entry of the table.
        row_bytes: bytes of an encoded row.
        importance: as it was given.
        kernel: what `__call__` runs.

    Raises:
        InputError: the rows are not whole blocks, or the importance does not fit.
        UnsupportedError: no encoder for this type.
    """

    def __init__(self, type: int | str, columns: int, importance: Floats | None = None) -> None:
        self.type = kind = tensor_type(type)
        if kind.name not in FAMILY_OF and kind.name not in ("F32", "F16", "BF16"):
            raise UnsupportedError(f"values cannot be encoded as {kind.name}")
        if columns % kind.block_size:
            raise InputError(
                f"rows of {columns} values cannot be {kind.name}: "
                f"they are not a multiple of {kind.block_size}"
            )
        self.columns = columns
        self.row_bytes = columns // kind.block_size * kind.block_bytes
        self.importance = importance
        self._importance = self._checked(importance)
        self._tables = tables(kind.name) if kind.is_quantized else None

    def _checked(self, importance: Floats | None) -> Floats | None:
        if importance is not None:
            importance = np.ascontiguousarray(importance, np.float32)
            if importance.shape != (self.columns,):
                raise InputError(
                    f"importance of shape {importance.shape} does not fit rows of {self.columns}"
                )
            if not np.isfinite(importance).all():
                raise InputError("the importance has values that are not finite")
        if not self.type.is_quantized or self.type.name in WEIGHTS_IGNORED:
            return None
        if importance is None and self.type.name in WEIGHTS_NEEDED:
            return np.ones(self.columns, np.float32)
        return importance

    @property
    def kernel(self) -> Kernel | None:
        """The kernel that encodes; None for F32, which is a copy."""
        if self.type.is_quantized:
            apart = self._importance is not None and self.type.name in WEIGHTED_APART
            return Kernel("encode", (self.type.name, int(apart)))
        return None if self.type.name == "F32" else Kernel("narrow", (self.type.name,))

    def __call__(self, values: Floats, out: Bytes) -> None:
        """Encode float32 [rows, columns] into uint8 [rows, row_bytes], both contiguous.

        Several threads may call at once; the interpreter's lock is not held meanwhile.

        Raises:
            InputError: a value is not finite, or too large for the type.
        """
        kernel = self.kernel
        if not values.size:
            return
        if kernel is None:
            out[...] = values.view(np.uint8)
        elif not self.type.is_quantized:
            args = np.array([values.ctypes.data, values.size, out.ctypes.data], np.int64)
            call(kernel)(args.ctypes.data, 0, 1)
        else:
            self._encode(kernel, values, out)

    def _encode(self, kernel: Kernel, values: Floats, out: Bytes) -> None:
        means, largest = np.empty(len(values), np.float32), np.zeros(1, np.int64)
        pointers = [0 if a is None else a.ctypes.data for a in (self._importance, means)]
        table = 0 if self._tables is None else self._tables.ctypes.data
        words = (values.ctypes.data, len(values), self.columns, out.ctypes.data, *pointers, table)
        args = np.array([*words, largest.ctypes.data], np.int64)
        call(kernel)(args.ctypes.data, 0, 1)
        if largest[0] >= FINITE:
            raise InputError("there are values that are infinite or not a number")
        if largest[0] >= LARGE:
            self._check_scales(out)

    def _check_scales(self, out: Bytes) -> None:
        from zigllm_cli.quants import dequantize

        if not np.isfinite(dequantize(out, self.type.name, self.columns)).all():
            raise InputError(f"there are values too large for {self.type.name}")
