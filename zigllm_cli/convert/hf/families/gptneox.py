"""GPT-NeoX, Pythia, Dolly, RedPajama-INCITE."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.hf.rows import grouped_to_parts
from zigllm_cli.convert.values import Values


class GPTNeoX(Family):
    """A quarter of each head rotated; queries, keys and values fused head by head."""

    architecture = "gptneox"
    whole = {
        "embed_in": "token_embd",
        "final_layer_norm": "output_norm",
        "embed_out": "output",
    }
    block = {
        "input_layernorm": "attn_norm",
        "attention.query_key_value": "attn_qkv",
        "attention.dense": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.dense_h_to_4h": "ffn_up",
        "mlp.dense_4h_to_h": "ffn_down",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, c.need("max_position_embeddings"), c.need("intermediate_size"))
        self.put_rotated_width(keys, 0.25)
        keys.flag(".use_parallel_residual", c.get("use_parallel_residual") is not False)
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_eps") or 1e-5)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name.startswith("attention.query_key_value."):
            c = self.config
            values = grouped_to_parts(values, c.heads, (1, 1, 1), c.head_width)
        yield from super().inside(name, values)
