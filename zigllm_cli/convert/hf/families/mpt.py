"""MPT, Replit."""

from __future__ import annotations

from typing import Any

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.errors import InputError


class MPT(Family):
    """ALiBi; queries, keys and values fused as GGUF wants them."""

    architecture = "mpt"
    whole = {
        "wte": "token_embd",
        "wpe": "position_embd",
        "norm_f": "output_norm",
        "lm_head": "output",
    }
    block = {
        "norm_1": "attn_norm",
        "attn.Wqkv": "attn_qkv",
        "attn.out_proj": "attn_output",
        "attn.q_ln": "attn_q_norm",
        "attn.k_ln": "attn_k_norm",
        "norm_2": "ffn_norm",
        "ffn.up_proj": "ffn_up",
        "ffn.down_proj": "ffn_down",
        "ffn.act.scales": "ffn_act.scales",
    }

    def put_keys(self, keys: Keys) -> None:
        c, attention = self.config, self._attention()
        self.put_sizes(keys, c.need("max_seq_len"), (c.whole("expansion_ratio") or 4) * c.width)
        keys.u32(".attention.head_count_kv", attention.get("kv_n_heads") or None)
        keys.f32(".attention.layer_norm_epsilon", 1e-5)
        keys.f32(".attention.clamp_kqv", attention.get("clip_qkv"))
        bias = attention.get("alibi_bias_max", 8) if attention.get("alibi") else 0
        keys.f32(".attention.max_alibi_bias", bias)

    def _attention(self) -> dict[str, Any]:
        found = self.config.get("attn_config") or {}
        if not isinstance(found, dict):
            raise InputError(f"{self.config.path}: attn_config is not an object")
        return found
