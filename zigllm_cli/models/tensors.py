"""Tensors by name, with the shape that the model wants of them."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.gguf.model_file import Tensor
from zigllm_cli.plan.operations import Stack, Vector, Weight
from zigllm_cli.quants import dequantize
from zigllm_cli.quants.layouts import LAYOUTS

FLOATS = ("F32", "F16", "BF16")


class Tensors:
    """The tensors of a file, checked as they are asked for.

    Args:
        file: the opened model.
        data: where a tensor's bytes stand, if not in the map.
    """

    def __init__(self, file: GGUFFile) -> None:
        if file.byte_order != "<" or sys.byteorder != "little":
            raise UnsupportedError("only little-endian files can be run, on little-endian machines")
        self.file = file

    def has(self, name: str) -> bool:
        """Whether the file has a tensor of this name."""
        return name in self.file.tensors

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding table: the tensor knows best."""
        if not self.has("token_embd.weight"):
            raise InputError("tensor token_embd.weight is missing")
        return self.file.tensors["token_embd.weight"].rows

    def output(self, vocabulary: int, width: int) -> Weight:
        """The matrix of the logits; the embedding table where the file has none of its own."""
        tied = "output.weight" if self.has("output.weight") else "token_embd.weight"
        return self.matrix(tied, vocabulary, width)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        if name not in self.file.tensors:
            raise InputError(f"tensor {name} is missing")
        tensor = self.file.tensors[name]
        if _without_ones(tensor.shape) != _without_ones(shape):
            wanted = " x ".join(map(str, shape))
            given = " x ".join(map(str, tensor.shape))
            raise InputError(f"tensor {name} has shape {given}: the metadata asks for {wanted}")
        return tensor

    def matrix(self, name: str, rows: int, columns: int) -> Weight:
        """A matrix [rows, columns] as it stands in the file."""
        tensor = self._tensor(name, (columns, rows))
        self._check_type(tensor)
        data = tensor.numpy().reshape(rows, -1)
        return Weight(name, tensor.type.name, rows, columns, data)

    def row(self, name: str, length: int) -> Weight:
        """A vector as a matrix of one row."""
        tensor = self._tensor(name, (length,))
        self._check_type(tensor)
        return Weight(name, tensor.type.name, 1, length, tensor.numpy().reshape(1, -1))

    def _check_type(self, tensor: Tensor) -> None:
        kind = tensor.type.name
        if kind not in FLOATS and kind not in LAYOUTS:
            raise UnsupportedError(
                f"tensor {tensor.name} is of type {kind}, which cannot be multiplied"
            )

    def stack(self, name: str, rows: int, columns: int, count: int) -> Stack:
        """A tensor of `count` matrices as it stands in the file."""
        tensor = self._tensor(name, (columns, rows, count))
        self._check_type(tensor)
        data = tensor.numpy().reshape(count, rows, -1)
        return Stack(name, tensor.type.name, rows, columns, tuple(data))

    def optional_table(self, name: str, rows: int, columns: int) -> Vector | None:
        """A small matrix, or None where the file has none of this name."""
        return self.table(name, rows, columns) if self.has(name) else None

    def table(self, name: str, rows: int, columns: int) -> NDArray[np.float32]:
        """A matrix as float32 [rows, columns]."""
        weight = self.matrix(name, rows, columns)
        return np.ascontiguousarray(dequantize(weight.data, weight.type, columns))

    def vector(self, name: str, *shape: int) -> Vector:
        """A vector as float32; one of more dimensions (as GGUF counts them) is flattened."""
        tensor = self._tensor(name, shape)
        return _floats(tensor, shape[0])

    def size(self, name: str) -> int:
        """How many values a tensor has; 0 where the file has none of this name."""
        return self.file.tensors[name].n_elements if self.has(name) else 0

    def optional_vector(self, name: str, *shape: int) -> Vector | None:
        """A vector, or None where the file has none of this name."""
        return self.vector(name, *shape) if self.has(name) else None


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape as llama.cpp writes it anew: without dimensions of 1 at its end."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _floats(tensor: Tensor, length: int) -> NDArray[np.float32]:
    values = dequantize(tensor.numpy().reshape(tensor.rows, -1), tensor.type.name, length)
    return np.ascontiguousarray(values.reshape(-1))
