"""Qwen 3: queries and keys of each head are normalised before they are rotated.

    per block:  x += W_o attention(rope(RMSNorm(W_q n)), rope(RMSNorm(W_k n)), W_v n)
                x += W_down (silu(W_gate n) * W_up n)

each n = RMSNorm(x). Yang et al. 2025.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class Qwen3(Transformer):
    """Qwen 3."""

    norm, pairing = "rms", "neox"

    def block(self, b: Block, x: Value) -> Value:
        """Attention with normalised heads, then the gated feed-forward."""
        q, k, v = b.queries_keys_values(b.norm(x, "attn_norm"))
        q, k = b.rotate(*b.head_norms(q, k))
        a, x = b.wanted(b.attend(q, k, v), x)
        x = b.product(a, "attn_output", add_to=x)
        return self.feed_forward(b, b.norm(x, "ffn_norm"), x)

    def feed_forward(self, b: Block, n: Value, x: Value) -> Value:
        """x + the gated layer."""
        return b.gated(n, "silu", add_to=x)
