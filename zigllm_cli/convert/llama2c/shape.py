"""The numbers at the head of a llama2.c file, and which tensors of which shapes they make."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from zigllm_cli.errors import InputError, UnsupportedError

MAGIC = b"24ka"
"""0x616b3432, "ak42"."""

HEADER = struct.Struct("<7i")
HEADER_BYTES = 256
"""Of versions 1 and 2."""

MOST = (1 << 20, 1 << 24, 10_000, 1 << 16, 1 << 16, 1 << 24, 1 << 24)
"""The largest number that each of the seven may sensibly be."""


@dataclass(frozen=True)
class Shape:
    """The numbers of a file.

    Attributes:
        version: of the format.
        shared: whether the head is the embedding table.
        group: values that share a scale; 0 for float32.
        start: where the tensors begin.
    """

    width: int
    ff: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    version: int
    shared: bool
    group: int
    start: int

    @property
    def kv_width(self) -> int:
        """Outputs of W_k and W_v."""
        return self.width // self.heads * self.kv_heads

    def norms(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """Names, how many there are, and the shape of each."""
        each = (self.layers, (self.width,))
        return [("attn_norm", *each), ("ffn_norm", *each), ("output_norm", 0, (self.width,))]

    def matrices(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """In the order of versions 1 and 2; 0 for one that stands outside of blocks."""
        kv, ff = (self.kv_width, self.width), (self.ff, self.width)
        rows: list[tuple[str, int, tuple[int, ...]]] = [
            ("token_embd", 0, (self.vocabulary, self.width)),
            ("attn_q", self.layers, (self.width, self.width)),
            ("attn_k", self.layers, kv),
            ("attn_v", self.layers, kv),
            ("attn_output", self.layers, (self.width, self.width)),
            ("ffn_gate", self.layers, ff),
            ("ffn_down", self.layers, ff[::-1]),
            ("ffn_up", self.layers, ff),
        ]
        return rows if self.shared else [*rows, ("output", 0, (self.vocabulary, self.width))]

    def all(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """Everything in the order of the file, rotary tables of version 0 included."""
        norms, matrices = self.norms(), self.matrices()
        if self.version:
            return [*norms, *matrices]
        angles = ("angles", 0, (2, self.context, self.width // self.heads // 2))
        blocks = [norms[0], *matrices[1:5], norms[1], *matrices[5:8]]
        return [matrices[0], *blocks, norms[2], angles, *matrices[8:]]

    def nbytes(self, name: str, shape: tuple[int, ...]) -> int:
        """Bytes of one tensor."""
        count = prod(shape)
        if self.group and not name.endswith("norm"):
            return count + 4 * (count // self.group)
        return 4 * count

    @property
    def size(self) -> int:
        """Bytes that the file must have."""
        return self.start + sum(
            max(count, 1) * self.nbytes(name, shape) for name, count, shape in self.all()
        )


def read_shape(start: bytes, path: Path) -> Shape:
    """The numbers of a file that was recognised.

    Args:
        start: its first `HEADER_BYTES`.

    Raises:
        InputError: they are not the sizes of a model.
        UnsupportedError: a version that is not known.
    """
    if not start.startswith(MAGIC):
        shape = version_0(start)
        assert shape is not None, "only recognised files are read"
        return shape
    if len(start) < HEADER_BYTES:
        raise InputError(f"{path} is cut short; copy it anew")
    version = int.from_bytes(start[4:8], "little")
    if version not in (1, 2):
        raise UnsupportedError(f"{path} is a llama2.c model of version {version}; known are 0 to 2")
    numbers = HEADER.unpack_from(start, 8)
    shared, group = start[36], int.from_bytes(start[37:41], "little") if version == 2 else 0
    shape = _checked(numbers, version=version, shared=bool(shared), group=group, start=HEADER_BYTES)
    if shape is None or (version == 2 and not group):
        raise InputError(f"{path}: {numbers} are not the sizes of a model")
    if group and any(prod(matrix) % group for _, _, matrix in shape.matrices()):
        raise InputError(f"{path}: its matrices cannot be cut into groups of {group}")
    return shape


def version_0(start: bytes) -> Shape | None:
    """The numbers of a file that begins with them, None where they can be none."""
    if len(start) < HEADER.size:
        return None
    numbers = list(HEADER.unpack_from(start))
    shared = numbers[5] > 0
    numbers[5] = abs(numbers[5])
    return _checked(tuple(numbers), version=0, shared=shared, group=0, start=HEADER.size)


def _checked(numbers: tuple[int, ...], **more: Any) -> Shape | None:
    """The numbers, if they can be those of a model."""
    if any(not 0 < number <= most for number, most in zip(numbers, MOST, strict=True)):
        return None
    width, ff, layers, heads, kv_heads, vocabulary, context = numbers
    shape = Shape(width, ff, layers, heads, kv_heads, vocabulary, context, **more)
    if shape.width % (2 * shape.heads) or shape.heads % shape.kv_heads:
        return None
    return shape
