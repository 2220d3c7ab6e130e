"""Values of tensors in the other byte order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf.types import TensorType

HALVES = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
    "MXFP4": (),
}
"""Where the half floats of a block lie; all else in these blocks is bytes."""


def swapped(data: memoryview | bytes | bytearray, kind: TensorType) -> memoryview:
    """Whole blocks with every number of more than a byte turned round.

    Raises:
        UnsupportedError: a type whose blocks hold other numbers than half floats and bytes.
    """
    if not kind.is_quantized:
        width = kind.block_bytes
        turned = np.frombuffer(data, np.uint8).reshape(-1, width)[:, ::-1]
        return np.ascontiguousarray(turned).reshape(-1).data
    if kind.name not in HALVES:
        raise UnsupportedError(
            f"{kind} tensors are not turned into the other byte order; convert from F16 or F32"
        )
    blocks = np.frombuffer(data, np.uint8).reshape(-1, kind.block_bytes).copy()
    for place in HALVES[kind.name]:
        blocks[:, [place, place + 1]] = blocks[:, [place + 1, place]]
    return blocks.reshape(-1).data


def pieces(data: memoryview, kind: TensorType, size: int) -> Iterator[memoryview]:
    """Pieces of at most `size` bytes, none of which cuts a block."""
    step = max(size // kind.block_bytes, 1) * kind.block_bytes
    for start in range(0, len(data), step):
        yield data[start : start + step]
