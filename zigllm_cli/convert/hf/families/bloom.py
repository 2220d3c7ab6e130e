"""BLOOM, BLOOMZ."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.hf.rows import grouped_to_parts
from zigllm_cli.convert.values import Values


class Bloom(Family):
    """ALiBi instead of positions; queries, keys and values fused head by head."""

    architecture = "bloom"
    whole = {
        "word_embeddings": "token_embd",
        "word_embeddings_layernorm": "token_embd_norm",
        "ln_f": "output_norm",
        "lm_head": "output",
    }
    block = {
        "input_layernorm": "attn_norm",
        "self_attention.query_key_value": "attn_qkv",
        "self_attention.dense": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.dense_h_to_4h": "ffn_up",
        "mlp.dense_4h_to_h": "ffn_down",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, c.whole("seq_length") or c.width, 4 * c.width)
        keys.u32(".attention.head_count_kv", c.heads)
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_epsilon") or 1e-5)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name.startswith("self_attention.query_key_value."):
            c = self.config
            values = grouped_to_parts(values, c.heads, (1, 1, 1), c.head_width)
        yield from super().inside(name, values)
