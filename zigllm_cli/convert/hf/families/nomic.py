"""Nomic Embed 1 and 1.5."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys, SourceTensor
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.hf.rope import put_rope_keys
from zigllm_cli.convert.values import Values, concatenated
from zigllm_cli.errors import UnsupportedError

SPLIT = re.compile(r"(layers\.\d+)\.self_attn\.([qkv])_proj\.weight")


class NomicBert(Family):
    """An encoder with rotary positions and a gated feed-forward.

    Two spellings: that of the model's own code (`encoder.layers.0.attn.Wqkv`), and that of
    transformers, which splits queries, keys and values.
    """

    architecture = "nomic-bert"
    left_out = re.compile(r"pooler\..*|cls\..*")
    whole = {
        "embeddings.word_embeddings": "token_embd",
        "embeddings.token_type_embeddings": "token_types",
        "embeddings.LayerNorm": "token_embd_norm",
        "emb_ln": "token_embd_norm",
    }
    block = {
        "attn.Wqkv": "attn_qkv",
        "self_attn.qkv": "attn_qkv",
        "attn.out_proj": "attn_output",
        "self_attn.o_proj": "attn_output",
        "norm1": "attn_output_norm",
        "post_attention_layernorm": "attn_output_norm",
        "mlp.fc12": "ffn_gate",
        "mlp.gate_proj": "ffn_gate",
        "mlp.fc11": "ffn_up",
        "mlp.up_proj": "ffn_up",
        "mlp.fc2": "ffn_down",
        "mlp.down_proj": "ffn_down",
        "norm2": "layer_output_norm",
        "post_mlp_layernorm": "layer_output_norm",
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._parts: dict[str, dict[str, Values]] = {}
        if config.get("moe_every_n_layers"):
            raise UnsupportedError(f"{config.path}: Nomic Embed 2, with experts, is not converted")

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, self.context_length(), c.need("intermediate_size", "n_inner"))
        epsilon = c.number("layer_norm_eps", "layer_norm_epsilon") or 1e-12
        keys.f32(".attention.layer_norm_epsilon", epsilon)
        put_rope_keys(keys, c, self.theta)
        keys.flag(".attention.causal", False)
        keys.u32("tokenizer.ggml.token_type_count", c.whole("type_vocab_size") or 1)

    def context_length(self) -> int | None:
        """What the model was trained with, which its config does not say."""
        context = super().context_length()
        trained = self.config.whole("max_trained_positions") or 2048
        return trained if context is not None and context > trained else context

    def tensor(self, name: str, values: Values) -> Iterator[SourceTensor]:
        match = SPLIT.fullmatch(name)
        if not match:
            yield from super().tensor(name, values)
            return
        parts = self._parts.setdefault(match[1], {})
        parts[match[2]] = values
        if len(parts) == 3:
            whole = concatenated([parts[kind] for kind in "qkv"])
            yield from super().tensor(f"{match[1]}.self_attn.qkv.weight", whole)
