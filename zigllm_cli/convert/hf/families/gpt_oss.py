"""gpt-oss 20B and 120B: experts in MXFP4, which stay so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zigllm_cli.convert.conversion import Keys, SourceTensor
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, Family
from zigllm_cli.convert.values import Array, Values
from zigllm_cli.errors import InputError
from zigllm_cli.gguf.types import tensor_type

BLOCK_VALUES = 32


class GptOss(Family):
    """Attention sinks; gate and up of experts interleaved row by row."""

    architecture = "gpt-oss"
    theta = 150000.0
    head_dim = 64
    block = LLAMA_BLOCK | {
        "post_attention_layernorm": "post_attention_norm",
        "self_attn.sinks": "attn_sinks.weight",
        "mlp.router": "ffn_gate_inp",
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._blocks: dict[str, Values] = {}
        self._scales: dict[str, Values] = {}

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        self.put_window(keys, None)
        keys.u32(".expert_feed_forward_length", self.config.need("intermediate_size"))

    def tensor(self, name: str, values: Values) -> Iterator[SourceTensor]:
        """Blocks and their scales are two tensors, which may come in any order."""
        for ending, kept in (("_blocks", self._blocks), ("_scales", self._scales)):
            if name.endswith(ending):
                stem = name.removesuffix(ending)
                kept[stem] = values
                if stem in self._blocks and stem in self._scales:
                    whole = mxfp4(self._blocks.pop(stem), self._scales.pop(stem))
                    yield from super().tensor(stem, whole)
                return
        yield from super().tensor(name, values)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        is_bias = name.endswith("_bias")
        ending = "bias" if is_bias else "weight"
        stem = name.removesuffix("_bias")
        if stem not in ("mlp.experts.gate_up_proj", "mlp.experts.down_proj"):
            yield from super().inside(name, values)
            return
        if not is_bias and values.type.name != "MXFP4":
            values = values.transposed()
        if stem == "mlp.experts.down_proj":
            yield f"ffn_down_exps.{ending}", values
            return
        for offset, new in enumerate(("ffn_gate_exps", "ffn_up_exps")):
            yield f"{new}.{ending}", every_other(values, offset)


def every_other(values: Values, offset: int) -> Values:
    """Every second of an expert's rows, or of its biases."""
    experts, rows, *rest = values.shape
    return values.moved((experts, rows // 2, *rest), lambda array: array[:, offset::2])


def mxfp4(blocks: Values, scales: Values) -> Values:
    """The two tensors of the checkpoint as blocks of ggml: a scale, then 16 bytes of two values.

    The checkpoint's byte i holds values 2i and 2i+1 of its 32, ggml's holds i and i+16.

    Args:
        blocks: uint8 [experts, rows, n, 16].
        scales: uint8 [experts, rows, n].

    Raises:
        InputError: they do not fit together.
    """
    if blocks.shape[:-1] != scales.shape or blocks.shape[-1:] != (BLOCK_VALUES // 2,):
        raise InputError(f"{blocks.name} of shape {blocks.shape} and {scales.name} do not fit")
    experts, rows, count = scales.shape

    def read() -> Array:
        packed = blocks.read().astype(np.uint8)
        values = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], 32)
        out = np.empty((*scales.shape, 17), np.uint8)
        out[..., 0] = scales.read()
        out[..., 1:] = values[..., :16] | values[..., 16:] << 4
        return out.reshape(experts, rows, count * 17)

    shape = (experts, rows, count * BLOCK_VALUES)
    return Values(blocks.name, shape, tensor_type("MXFP4"), read, blocks.release)
