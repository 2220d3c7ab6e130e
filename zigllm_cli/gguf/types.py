"""The two type tables of GGUF: metadata value types and ggml tensor types.

Kept here rather than taken from the `gguf` package because importing that costs 0.1 s; a test
checks every row against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from zigllm_cli.errors import UnsupportedError


class ValueType(IntEnum):
    """Type of a metadata value, as stored in the file (GGUF specification)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALAR_CODES: dict[ValueType, str] = {
    ValueType.UINT8: "B",
    ValueType.INT8: "b",
    ValueType.UINT16: "H",
    ValueType.INT16: "h",
    ValueType.UINT32: "I",
    ValueType.INT32: "i",
    ValueType.FLOAT32: "f",
    ValueType.BOOL: "?",
    ValueType.UINT64: "Q",
    ValueType.INT64: "q",
    ValueType.FLOAT64: "d",
}
"""`struct` code of every fixed-size value type."""


@dataclass(frozen=True)
class TensorType:
    """One ggml tensor type: values are stored in blocks of `block_size`, `block_bytes` each."""

    id: int
    name: str
    block_size: int
    block_bytes: int

    @property
    def bits_per_weight(self) -> float:
        """Storage bits per value."""
        return 8 * self.block_bytes / self.block_size

    @property
    def is_quantized(self) -> bool:
        """Whether values share a block, so that single values have no bytes of their own."""
        return self.block_size > 1

    def __str__(self) -> str:
        return self.name


TENSOR_TYPES: tuple[TensorType, ...] = tuple(
    TensorType(*row)
    for row in (
        (0, "F32", 1, 4),
        (1, "F16", 1, 2),
        (2, "Q4_0", 32, 18),
        (3, "Q4_1", 32, 20),
        (6, "Q5_0", 32, 22),
        (7, "Q5_1", 32, 24),
        (8, "Q8_0", 32, 34),
        (9, "Q8_1", 32, 36),
        (10, "Q2_K", 256, 84),
        (11, "Q3_K", 256, 110),
        (12, "Q4_K", 256, 144),
        (13, "Q5_K", 256, 176),
        (14, "Q6_K", 256, 210),
        (15, "Q8_K", 256, 292),
        (16, "IQ2_XXS", 256, 66),
        (17, "IQ2_XS", 256, 74),
        (18, "IQ3_XXS", 256, 98),
        (19, "IQ1_S", 256, 50),
        (20, "IQ4_NL", 32, 18),
        (21, "IQ3_S", 256, 110),
        (22, "IQ2_S", 256, 82),
        (23, "IQ4_XS", 256, 136),
        (24, "I8", 1, 1),
        (25, "I16", 1, 2),
        (26, "I32", 1, 4),
        (27, "I64", 1, 8),
        (28, "F64", 1, 8),
        (29, "IQ1_M", 256, 56),
        (30, "BF16", 1, 2),
        (34, "TQ1_0", 256, 54),
        (35, "TQ2_0", 256, 66),
        (39, "MXFP4", 32, 17),
        (40, "NVFP4", 64, 36),
        (41, "Q1_0", 128, 18),
        (42, "Q2_0", 64, 18),
    )
)
"""Every tensor type a GGUF file may hold.

Q8_1 holds two half-precision numbers and 32 bytes (ggml's own block); the `gguf` package counts
single precision there, but no file stores weights in this type.
"""

TYPES_BY_ID = {type.id: type for type in TENSOR_TYPES}
TYPES_BY_NAME = {type.name: type for type in TENSOR_TYPES}

REMOVED_TYPES = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}
"""Numbers that once meant a type and no longer do."""


def tensor_type(key: int | str) -> TensorType:
    """Look a ggml type up by its number or its name (any case).

    Raises:
        UnsupportedError: no such type, or one that ggml has removed.
    """
    found = TYPES_BY_ID.get(key) if isinstance(key, int) else TYPES_BY_NAME.get(key.upper())
    if found is not None:
        return found
    if key in REMOVED_TYPES:
        raise UnsupportedError(
            f"tensor type {key} ({REMOVED_TYPES[int(key)]}) was removed from ggml; "
            "convert the original model again"
        )
    raise UnsupportedError(f"unknown tensor type {key!r}; known are {', '.join(TYPES_BY_NAME)}")
