"""Granite 3: Llama with multipliers, and its mixtures of experts."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.families.llama import Llama
from zigllm_cli.convert.hf.family import LLAMA_BLOCK
from zigllm_cli.convert.values import Values


class Granite(Llama):
    """Granite 3, dense."""

    architecture = "granite"
    head_dim = None

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        for key, name in (
            (".attention.scale", "attention_multiplier"),
            (".embedding_scale", "embedding_multiplier"),
            (".residual_scale", "residual_multiplier"),
            (".logit_scale", "logits_scaling"),
        ):
            keys.f32(key, self.config.number(name) or None)


class GraniteMoe(Granite):
    """Granite 3 with experts; gate and up lie in one matrix, one below the other."""

    architecture = "granitemoe"
    block = LLAMA_BLOCK | {
        "block_sparse_moe.router.layer": "ffn_gate_inp",
        "block_sparse_moe.output_linear": "ffn_down_exps",
        "shared_mlp.output_linear": "ffn_down_shexp",
    }
    fused = {
        "block_sparse_moe.input_linear.weight": ("ffn_gate_exps", "ffn_up_exps"),
        "shared_mlp.input_linear.weight": ("ffn_gate_shexp", "ffn_up_shexp"),
    }

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        keys.u32(
            ".expert_shared_feed_forward_length", self.config.whole("shared_intermediate_size")
        )

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name not in self.fused:
            yield from super().inside(name, values)
            return
        half = values.shape[-2] // 2
        for new, part in zip(self.fused[name], values.split(half, half, axis=-2), strict=True):
            yield f"{new}.weight", part
