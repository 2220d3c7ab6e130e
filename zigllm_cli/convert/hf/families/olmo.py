"""OLMo 1 to 3, OLMoE."""

from __future__ import annotations

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import EXPERTS, LLAMA_BLOCK, QK_NORMS, Family


class Olmo(Family):
    """OLMo 1: norms without weights."""

    architecture = "olmo"
    permuted = True

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        keys.f32(".attention.layer_norm_epsilon", 1e-5)
        keys.f32(".attention.clamp_kqv", self.config.number("clip_qkv"))


class Olmo2(Family):
    """OLMo 2 and 3: norms behind attention and feed-forward; 3 has local layers."""

    architecture = "olmo2"
    block = (
        LLAMA_BLOCK
        | QK_NORMS
        | {
            "post_attention_layernorm": "post_attention_norm",
            "post_feedforward_layernorm": "post_ffw_norm",
        }
    )

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        if self.config.whole("sliding_window") is not None:
            every_fourth = [(i + 1) % 4 != 0 for i in range(self.config.layers)]
            self.put_window(keys, self.local_layers() or every_fourth)


class Olmoe(Family):
    """OLMoE."""

    architecture = "olmoe"
    block = LLAMA_BLOCK | QK_NORMS | EXPERTS

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        keys.f32(".attention.layer_norm_rms_epsilon", 1e-5)
