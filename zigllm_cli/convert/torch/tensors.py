"""Tensors of torch files: where their values stand, read when asked for.

torch keeps values in storages; a tensor is a view of one: an offset, a shape and strides. Several
may share a storage (tied weights), and a view need not be contiguous (a transposed one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from zigllm_cli.convert.stored import SIZES, stored_dtype
from zigllm_cli.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DIMENSIONS = 16

STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL",
}  # fmt: skip
"""Classes of `torch` that say the type of a storage's values."""

UNTYPED = "UntypedStorage"

DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""Attributes of `torch`."""


@dataclass(eq=False)
class Storage:
    """A run of values.

    Attributes:
        key: its name in the file.
        type: of its values, as safetensors names it; "U8" for bytes of no type.
        count: how many.
        data: its bytes, in the map of the file; None until the file's reader has found them.
        order: byte order of its values.
        release: lets the pages of the map go.
    """

    key: str
    type: str
    count: int
    data: memoryview | None = None
    order: str = "<"
    release: Callable[[], None] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it should have."""
        return self.count * SIZES[self.type]


@dataclass(frozen=True, eq=False)
class TorchTensor:
    """A view of a storage.

    Attributes:
        type: of the values, as safetensors names it.
        offset: of the first value, in values.
        shape: sizes, the contiguous dimension last as a rule.
        strides: values from one to the next, per dimension.
    """

    storage: Storage
    type: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def is_same(self, other: TorchTensor) -> bool:
        """Whether another one is the same view of the same storage: tied weights."""
        mine = (self.type, self.offset, self.shape, self.strides)
        return self.storage is other.storage and mine == (
            *(other.type, other.offset, other.shape, other.strides),
        )

    def numpy(self) -> NDArray[Any]:
        """The values where they stand, of the stored type and byte order.

        BF16 and the 8-bit floats, which NumPy does not have, are unsigned integers of their size.
        """
        import numpy as np

        assert self.storage.data is not None, "the file's reader has checked all storages"
        dtype = np.dtype(stored_dtype(self.type).replace("<", self.storage.order))
        strides = tuple(dtype.itemsize * stride for stride in self.strides)
        start = self.offset * dtype.itemsize
        return np.ndarray(self.shape, dtype, self.storage.data, start, strides)


def view(storage: Any, type: str | None, offset: Any, shape: Any, strides: Any) -> TorchTensor:
    """A tensor, if it lies within its storage.

    Args:
        type: None for the storage's own.

    Raises:
        InputError: it does not, or has more values than its storage.
    """
    if not isinstance(storage, Storage):
        raise InputError("a tensor in it has no storage")
    type = type or storage.type
    available = storage.nbytes // SIZES[type]
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise InputError("a tensor in it has no shape")
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise InputError(f"a tensor in it has {len(shape)} sizes and {len(strides)} strides")
    numbers = (offset, *shape, *strides)
    if any(isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < 2**60 for n in numbers):
        raise InputError(f"a tensor in it has an impossible shape: {_short(shape)}")
    count = prod(shape)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if count and (last >= available or count > available):
        raise InputError(
            f"a tensor in it of shape {_short(shape)} reaches beyond its storage of"
            f" {available} values"
        )
    return TorchTensor(storage, type, offset, tuple(shape), tuple(strides))


def _short(shape: Any) -> str:
    return str(shape)[:100]
