"""Tensors of a torch file as the `Values` that conversions are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zigllm_cli.convert.safetensors import FP8, PLAIN, fp8_table
from zigllm_cli.convert.torch.tensors import TorchTensor
from zigllm_cli.convert.values import DTYPES, Values
from zigllm_cli.gguf.types import tensor_type

if TYPE_CHECKING:
    from numpy.typing import NDArray


def values_of(name: str, tensor: TorchTensor) -> Values:
    """A tensor, not read yet; FP8 as float32, bytes and truth values as I8."""
    kind = tensor.type

    def read() -> NDArray[Any]:
        array = tensor.numpy()
        if kind in FP8:
            floats: NDArray[Any] = fp8_table(kind)[array]
            return floats
        if kind not in PLAIN:
            return array.view("i1")
        return array.astype(DTYPES[kind], copy=False)

    new = kind if kind in PLAIN else "F32" if kind in FP8 else "I8"
    return Values(name, tensor.shape, tensor_type(new), read, tensor.storage.release)
