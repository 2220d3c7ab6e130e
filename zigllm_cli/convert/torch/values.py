"""Tensors of a torch file as the `Values` that conversions are made of."""

from __future__ import annotations

from zigllm_cli.convert.stored import stored_values
from zigllm_cli.convert.torch.tensors import TorchTensor
from zigllm_cli.convert.values import Values


def values_of(name: str, tensor: TorchTensor) -> Values:
    """A tensor, not read yet.

    Raises:
        UnsupportedError: of a type that is not converted.
    """
    storage = tensor.storage
    return stored_values(name, tensor.type, tensor.shape, tensor.numpy, storage.release)
