"""Gemma 1 to 3: norms count from one, the output is the embedding."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, QK_NORMS, Family
from zigllm_cli.convert.values import Values
from zigllm_cli.errors import InputError

FOUR_NORMS = LLAMA_BLOCK | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}

UNSAID = {
    "vocab_size": 262144,
    "max_position_embeddings": 131072,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
}
"""What configs of Gemma 3 leave out: that of the 4B all of these."""


class Gemma(Family):
    """Gemma, CodeGemma."""

    architecture = "gemma"
    one_more = True
    left_out = re.compile(r"lm_head\.weight")
    head_dim = 256

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        width = c.whole("head_dim") or self.head_dim
        self.put_sizes(keys, c.need("max_position_embeddings"), c.need("intermediate_size"))
        keys.u32(".attention.head_count_kv", c.kv_heads)
        keys.f32(".attention.layer_norm_rms_epsilon", c.number("rms_norm_eps"))
        keys.u32(".attention.key_length", width)
        keys.u32(".attention.value_length", width)


class Gemma2(Gemma):
    """Gemma 2: a window on every other layer, soft caps."""

    architecture = "gemma2"
    block = FOUR_NORMS

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        c = self.config
        keys.f32(".attn_logit_softcapping", c.number("attn_logit_softcapping"))
        keys.f32(".final_logit_softcapping", c.number("final_logit_softcapping"))
        keys.u32(".attention.sliding_window", c.whole("sliding_window"))


class Gemma3(Family):
    """Gemma 3, text; five local layers to a global one."""

    architecture = "gemma3"
    one_more = True
    head_dim = 256
    theta = 1_000_000.0
    block = FOUR_NORMS | QK_NORMS

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        config.assume(**UNSAID)

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        c = self.config
        if c.number("attn_logit_softcapping"):
            raise InputError(f"{c.path}: Gemma 3 has no attn_logit_softcapping")
        keys.f32(".final_logit_softcapping", c.number("final_logit_softcapping"))
        if c.whole("sliding_window_pattern") != 1:
            keys.u32(".attention.sliding_window", c.whole("sliding_window"))

    def outside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        """Without the embeddings of no token at the end of the table."""
        size = self.config.whole("vocab_size") or 0
        if name == "embed_tokens.weight" and 0 < size < values.shape[0]:
            values = values.part(0, size)
        yield from super().outside(name, values)
