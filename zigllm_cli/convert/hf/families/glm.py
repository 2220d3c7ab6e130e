"""GLM-4 0414."""

from __future__ import annotations

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, Family


class Glm4(Family):
    """Four norms, half of each head rotated, gate and up in one matrix."""

    architecture = "glm4"
    head_dim = 128
    block = LLAMA_BLOCK | {
        "post_self_attn_layernorm": "post_attention_norm",
        "post_mlp_layernorm": "post_ffw_norm",
        "mlp.gate_up_proj": "ffn_up",
    }

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        self.put_rotated_width(keys, 0.5)
