"""Falcon: attention and feed-forward side by side.

    per block:  x += W_o attention(rope(W_q m), rope(W_k m), W_v m) + W_down gelu(W_up n)

    7B:   m = n = LayerNorm(x), one head of keys for all queries
    40B:  m = LayerNorm_2(x), n = LayerNorm(x), several heads of keys

Rotary positions in halves, GELU by erf, biases only in norms. Almazrouei et al. 2023.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class Falcon(Transformer):
    """Falcon 7B, 40B and 180B."""

    norm, pairing = "layer", "neox"

    def block(self, b: Block, x: Value) -> Value:
        """Both branches read x before either is added to it."""
        n = m = b.norm(x, "attn_norm")
        if b.has("attn_norm_2"):
            m = b.norm(x, "attn_norm_2", out="h2")
        a, n, x = b.wanted(b.attention(m), n, x)
        x = b.product(a, "attn_output", add_to=x)
        return b.feed_forward(n, "gelu_erf", add_to=x)
