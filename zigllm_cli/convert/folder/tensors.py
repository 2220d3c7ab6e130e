"""Tensors of a GGUF file under transformers' names and in transformers' order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from zigllm_cli.convert.conversion import Conversion, SourceTensor
from zigllm_cli.convert.folder.targets import Target
from zigllm_cli.convert.hf.rows import to_halves
from zigllm_cli.convert.values import DTYPES, Array, Values
from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants import dequantize

LAYER = re.compile(r"blk\.(\d+)\.(.+)")
LEFT_OUT = ("rope_freqs.weight",)
"""Tensors that the config says."""


def folder_tensors(model: Conversion, target: Target) -> Iterator[tuple[str, Values]]:
    """GGUF's name of each tensor, and its values under transformers' name.

    Raises:
        UnsupportedError: a tensor that the class does not have.
    """
    family = target.family
    whole = {new: old for old, new in family.whole.items()}
    block = {new: old for old, new in family.block.items()}
    for name, tensor in model.tensors.items():
        if name in LEFT_OUT:
            continue
        match = LAYER.fullmatch(name)
        inner = match[2] if match else name
        stem, _, ending = inner.rpartition(".")
        old = (block if match else whole).get(stem)
        if old is None:
            raise UnsupportedError(f"{target.model_class} has no place for the tensor {name}")
        values = _moved_back(values_of(tensor), inner, model, target)
        if not match:
            prefix = "" if old == "lm_head" else target.prefix
            yield name, replace(values, name=f"{prefix}{old}.{ending}")
            continue
        start = f"{target.prefix}{target.layers}.{match[1]}."
        if "#" not in old:
            yield name, replace(values, name=f"{start}{old}.{ending}")
            continue
        for expert in range(values.shape[0]):
            one = values.part(expert, expert + 1).reshaped(*values.shape[1:])
            yield name, replace(one, name=f"{start}{old.replace('#', str(expert))}.{ending}")


def values_of(tensor: SourceTensor) -> Values:
    """A tensor of a file as an array; quantised ones as floats."""
    shape = tuple(reversed(tensor.shape))
    if tensor.type.name in DTYPES:
        dtype = DTYPES[tensor.type.name]
        kind = tensor.type

        def read() -> Array:
            return tensor.numpy().view(dtype).reshape(shape)
    else:
        kind = tensor_type("F32")

        def read() -> Array:
            return dequantize(tensor.numpy(), tensor.type.name, tensor.row_length).reshape(shape)

    return Values(tensor.name, shape, kind, read, tensor.release)


def _moved_back(values: Values, inner: str, model: Conversion, target: Target) -> Values:
    """What `Family.inside` and `outside` did, undone."""
    family = target.family
    if family.permuted and inner.startswith(("attn_q.", "attn_k.")):
        heads = model.hyperparameter("attention.head_count")
        if inner.startswith("attn_k."):
            heads = model.hyperparameter("attention.head_count_kv", heads)
        return to_halves(values, heads)
    if family.one_more and inner.endswith("norm.weight"):
        return values.computed(lambda array: array - np.float32(1))
    conv1d = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")
    if target.model_type == "gpt2" and inner in conv1d:
        return values.transposed()
    return values
