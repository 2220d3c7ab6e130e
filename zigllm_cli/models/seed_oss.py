"""Seed-OSS: Qwen 2, whose second norm has another name. ByteDance 2025."""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class SeedOss(Transformer):
    """Seed-OSS."""

    norm, pairing = "rms", "neox"

    def block(self, b: Block, x: Value) -> Value:
        """The norm before the feed-forward is called `post_attention_norm`."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.gated(b.norm(x, "post_attention_norm"), "silu", add_to=x)
