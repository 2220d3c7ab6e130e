"""What operations are about: values, weights, and what all of them have."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

_numbers = count()

_ROWS = re.compile(r"\[(\d+):(\d+)\]")
"""What the name of some rows of a tensor has more than the tensor's."""


def tensor_and_rows(name: str) -> tuple[str, slice]:
    """Of a weight's name: the tensor's, and which of its rows the weight is."""
    match = _ROWS.search(name)
    if match is None:
        return name, slice(None)
    return _ROWS.sub("", name), slice(int(match[1]), int(match[2]))


@dataclass(frozen=True, eq=False)
class Value:
    """Activations: float32 [tokens, width].

    Attributes:
        name: of the buffer; values of one name share memory, so only the newest is valid.
        width: floats per token.
        head: whether it has a row only for tokens whose logits are wanted.
        number: unlike that of any other value.
    """

    name: str
    width: int
    head: bool = False
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True, eq=False)
class Weight:
    """A matrix of the file, float or quantised, [rows, columns]; y = W x.

    Attributes:
        name: the tensor's name.
        type: ggml type name.
        rows: outputs.
        columns: inputs.
        data: uint8 [rows, bytes of a row], usually a view of the mapped file.
    """

    name: str
    type: str
    rows: int
    columns: int
    data: NDArray[np.uint8]

    @property
    def row_bytes(self) -> int:
        """Bytes from row to row."""
        return int(self.data.shape[1])


@dataclass(frozen=True, eq=False)
class Operation:
    """One entry of a plan.

    Attributes:
        out: the value it writes.
        label: what the profile calls it.
    """

    out: Value
    label: str
