"""Falcon 7B, 40B and 180B."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.hf.rows import grouped_to_parts
from zigllm_cli.convert.values import Values

CONTEXT = 2048
"""Of all Falcons; no config says it."""


class Falcon(Family):
    """Parallel branches; queries, keys and values fused in groups of one key head."""

    architecture = "falcon"
    whole = {"word_embeddings": "token_embd", "ln_f": "output_norm", "lm_head": "output"}
    block = {
        "input_layernorm": "attn_norm",
        "ln_mlp": "attn_norm",
        "ln_attn": "attn_norm_2",
        "self_attention.query_key_value": "attn_qkv",
        "self_attention.dense": "attn_output",
        "mlp.dense_h_to_4h": "ffn_up",
        "mlp.dense_4h_to_h": "ffn_down",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, CONTEXT, c.whole("ffn_hidden_size") or 4 * c.width)
        keys.text(".tensor_data_layout", "jploski")
        keys.u32(".attention.head_count_kv", self._groups())
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_epsilon") or 1e-5)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name == "self_attention.query_key_value.weight":
            heads, groups = self.config.heads, self._groups()
            values = grouped_to_parts(
                values, groups, (heads // groups, 1, 1), self.config.head_width
            )
        yield from super().inside(name, values)

    def _groups(self) -> int:
        return self.config.whole("num_kv_heads", "n_head_kv") or 1
