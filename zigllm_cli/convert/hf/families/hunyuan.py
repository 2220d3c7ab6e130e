"""Hunyuan, dense."""

from __future__ import annotations

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, Family

CONTEXT = 256 * 1024
"""What the technical report gives for models with an alpha; their configs are wrong about it."""


class HunYuanDense(Family):
    """Norms on queries and keys; a base of rotation that an alpha makes longer."""

    architecture = "hunyuan-dense"
    block = LLAMA_BLOCK | {
        "self_attn.query_layernorm": "attn_q_norm",
        "self_attn.key_layernorm": "attn_k_norm",
    }

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        c = self.config
        if (c.whole("num_experts") or 0) <= 1:
            keys.values.pop(f"{self.architecture}.expert_count", None)
        alpha = c.rope_number("alpha")
        if c.rope_type not in ("dynamic", "xdrope"):
            return
        width = c.head_width
        base = c.rope_number("rope_theta") or self.theta
        keys.f32(
            ".rope.freq_base", base * (50 if alpha is None else alpha) ** (width / (width - 2))
        )
        keys.text(".rope.scaling.type", "none")
        keys.f32(".rope.scaling.factor", 1.0)
        if c.rope_type == "dynamic":
            keys.u32(".rope.scaling.original_context_length", CONTEXT)
            keys.u32(".context_length", CONTEXT)
