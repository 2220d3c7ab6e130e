"""Qwen 1 to 3, dense and with experts."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import EXPERTS, LLAMA_BLOCK, QK_NORMS, Family
from zigllm_cli.convert.values import Values


class Qwen(Family):
    """Qwen 1: GPT-2's names; the config's feed-forward counts gate and up together."""

    architecture = "qwen"
    whole = {"wte": "token_embd", "ln_f": "output_norm", "lm_head": "output"}
    block = {
        "ln_1": "attn_norm",
        "attn.c_attn": "attn_qkv",
        "attn.c_proj": "attn_output",
        "ln_2": "ffn_norm",
        "mlp.w1": "ffn_up",
        "mlp.w2": "ffn_gate",
        "mlp.c_proj": "ffn_down",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(
            keys, c.need("seq_length", "max_position_embeddings"), c.need("intermediate_size")
        )
        keys.f32(".rope.freq_base", c.rope_number("rope_theta") or self.theta)
        keys.u32(".rope.dimension_count", c.whole("kv_channels") or c.head_width)
        keys.f32(".attention.layer_norm_rms_epsilon", c.number("layer_norm_epsilon"))


class Qwen2(Family):
    """Qwen 1.5, 2 and 2.5."""

    architecture = "qwen2"


class Qwen3(Family):
    """Qwen 3: norms on the heads of queries and keys."""

    architecture = "qwen3"
    head_dim = 128
    block = LLAMA_BLOCK | QK_NORMS


class Qwen2Moe(Family):
    """Qwen 1.5 MoE and 2 57B-A14B: experts beside one that all tokens share."""

    architecture = "qwen2moe"
    block = (
        LLAMA_BLOCK
        | EXPERTS
        | {
            "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
            "mlp.shared_expert.up_proj": "ffn_up_shexp",
            "mlp.shared_expert.down_proj": "ffn_down_shexp",
            "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
        }
    )

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        c = self.config
        keys.u32(".expert_feed_forward_length", c.whole("moe_intermediate_size"))
        shared = c.whole("shared_expert_intermediate_size")
        keys.u32(".expert_shared_feed_forward_length", shared)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        """Experts may be stacked already: [experts, 2 x width, ...] for gate and up."""
        kind = name.removesuffix(".weight")
        if kind == "mlp.experts.gate_up_proj":
            half = values.shape[-2] // 2
            gate, up = values.split(half, half, axis=-2)
            yield "ffn_gate_exps.weight", gate
            yield "ffn_up_exps.weight", up
        elif kind == "mlp.experts.down_proj":
            yield "ffn_down_exps.weight", values
        else:
            yield from super().inside(name, values)


class Qwen3Moe(Qwen2Moe):
    """Qwen 3 30B-A3B and 235B-A22B."""

    architecture = "qwen3moe"
    block = LLAMA_BLOCK | QK_NORMS | EXPERTS
