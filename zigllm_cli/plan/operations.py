"""The operations of a forward pass. Each is a description; nothing here computes.

A `Value` is one row of floats per token of the batch. Operations read values and write one;
`plan.Plan` makes them, `lowering` and `interpreter` give them meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

_numbers = count()


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


@dataclass(frozen=True)
class Rotation:
    """Rotary position embedding: by which angles, and how dimensions are paired.

    Attributes:
        pairing: "norm" (2i, 2i+1) or "neox" (i, i + dimensions/2).
        dimensions: of each head, from the first on; the rest is not rotated.
        frequencies: float64 [dimensions / 2], radians per position, every scaling included.
        magnitude: factor of the cosines and sines (YaRN, longrope).
    """

    pairing: str
    dimensions: int
    frequencies: tuple[float, ...]
    magnitude: float = 1.0


@dataclass(frozen=True, eq=False)
class Operation:
    """One entry of a plan.

    Attributes:
        out: the value it writes.
        label: what the profile calls it.
    """

    out: Value
    label: str


@dataclass(frozen=True, eq=False)
class Embed(Operation):
    """out = rows of the embedding table * scale."""

    weight: Weight
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class RmsNorm(Operation):
    """out = x / sqrt(mean(x^2) + epsilon) * weight, over each of `parts` equal slices."""

    x: Value
    weight: Vector | None
    epsilon: float
    parts: int = 1


@dataclass(frozen=True, eq=False)
class Product(Operation):
    """out = W x (+ bias) (+ what `out` held, if `add`)."""

    weight: Weight
    x: Value
    bias: Vector | None = None
    add: bool = False


@dataclass(frozen=True, eq=False)
class Rope(Operation):
    """Heads of `out` rotated in place by the tokens' positions."""

    heads: int
    head_dim: int
    rotation: Rotation


@dataclass(frozen=True, eq=False)
class StoreCache(Operation):
    """Keys and values of the batch written to a layer's cache; `out` is the keys.

    Attributes:
        rotation: what the keys were rotated by, so that a context shift can turn them back.
    """

    values: Value
    layer: int
    heads: int
    key_dim: int
    value_dim: int
    rotation: Rotation | None


@dataclass(frozen=True, eq=False)
class Attention(Operation):
    """out = softmax(scale q k + mask) v over the layer's cache; grouped heads.

    Attributes:
        window: how many positions a token sees, itself included; 0 for all.
        softcap: cap * tanh(score / cap) where not 0.
    """

    q: Value
    layer: int
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    scale: float
    window: int = 0
    softcap: float = 0.0


@dataclass(frozen=True, eq=False)
class Activation(Operation):
    """out = f(gate) * up, or f(gate) without `up`; f by name: silu, gelu, ..."""

    function: str
    gate: Value
    up: Value | None


@dataclass(frozen=True, eq=False)
class Select(Operation):
    """The rows of x whose logits are wanted."""

    x: Value
