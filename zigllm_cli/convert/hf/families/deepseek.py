"""DeepSeek V2, V3 and R1, Kimi K2."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys, SourceTensor
from zigllm_cli.convert.hf.family import EXPERTS, LLAMA_BLOCK, Family
from zigllm_cli.convert.values import Values
from zigllm_cli.errors import InputError


class DeepSeek2(Family):
    """Attention through a low-rank bottleneck that takes the place of keys and values.

    GGUF keeps the bottleneck in the cache: the matrix that expands it is split into its part for
    keys, turned round, and its part for values; to readers the model then has one key head.
    """

    architecture = "deepseek2"
    block = (
        LLAMA_BLOCK
        | EXPERTS
        | {
            "self_attn.q_a_proj": "attn_q_a",
            "self_attn.q_a_layernorm": "attn_q_a_norm",
            "self_attn.q_b_proj": "attn_q_b",
            "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
            "self_attn.kv_a_layernorm": "attn_kv_a_norm",
            "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
            "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
            "mlp.shared_experts.up_proj": "ffn_up_shexp",
            "mlp.shared_experts.down_proj": "ffn_down_shexp",
        }
    )

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        c, rank = self.config, self.config.whole("kv_lora_rank") or 512
        rotated = c.need("qk_rope_head_dim")
        keys.u32(".attention.head_count_kv", 1)
        keys.f32(".attention.layer_norm_rms_epsilon", c.number("rms_norm_eps") or 1e-6)
        dense = c.whole("first_k_dense_replace")
        if dense is None:
            dense = 0 if c.experts else c.layers
        keys.u32(".leading_dense_block_count", dense)
        self.put_vocab_size(keys)
        keys.u32(".attention.q_lora_rank", c.whole("q_lora_rank"))
        keys.u32(".attention.kv_lora_rank", rank)
        keys.u32(".attention.key_length", rank + rotated)
        keys.u32(".attention.value_length", rank)
        keys.u32(".attention.key_length_mla", c.need("qk_nope_head_dim") + rotated)
        keys.u32(".attention.value_length_mla", c.need("v_head_dim"))
        width = c.need("moe_intermediate_size", "intermediate_size")
        keys.u32(".expert_feed_forward_length", width)
        keys.u32(".expert_shared_count", c.whole("n_shared_experts") or 0)
        keys.f32(".expert_weights_scale", c.number("routed_scaling_factor"))
        keys.flag(".expert_weights_norm", True if c.get("norm_topk_prob") else None)
        keys.u32(".rope.dimension_count", rotated)
        multiplier = c.rope_number("mscale_all_dim")
        if multiplier is not None:
            # The key holds a tenth of it, which readers know.
            keys.f32(".rope.scaling.yarn_log_multiplier", 0.1 * multiplier)

    def outside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name == "lm_head.weight" and self.config.get("tie_word_embeddings"):
            return
        yield from super().outside(name, values)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name != "self_attn.kv_b_proj.weight":
            yield from super().inside(name, values)
            return
        c = self.config
        key, value = c.need("qk_nope_head_dim"), c.need("v_head_dim")
        if values.shape[0] != c.heads * (key + value):
            raise InputError(f"{values.name} of {values.shape[0]} rows is not {c.heads} heads")
        heads = values.reshaped(c.heads, key + value, values.shape[-1])
        keys_part, values_part = heads.split(key, value, axis=1)
        yield "attn_k_b.weight", keys_part.transposed()
        yield "attn_v_b.weight", values_part

    def behind(self, layer: int, inner: str, values: Values) -> Iterator[SourceTensor]:
        """Layers that predict several tokens are left out, whatever the config says of them."""
        yield from ()
