"""GGUF files: read, write, edit. Knows bytes and types, no arithmetic and no terminal."""

from zigllm_cli.gguf.model_file import (
    GGUFFile,
    Metadata,
    Tensor,
    TensorTable,
    open_gguf,
    shard_path,
)
from zigllm_cli.gguf.reader import Field
from zigllm_cli.gguf.types import TENSOR_TYPES, TensorType, ValueType, tensor_type
from zigllm_cli.gguf.values import Array

__all__ = [
    "TENSOR_TYPES",
    "Array",
    "Field",
    "GGUFFile",
    "Metadata",
    "Tensor",
    "TensorTable",
    "TensorType",
    "ValueType",
    "open_gguf",
    "shard_path",
    "tensor_type",
]
