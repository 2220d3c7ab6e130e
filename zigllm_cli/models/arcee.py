"""Arcee (AFM): LLaMA's attention, and a feed-forward with the square of ReLU and no gate.

    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)      n = RMSNorm(x)
                x += W_down relu(W_up n)^2                                n = RMSNorm(x)

So et al. 2021 (squared ReLU); Arcee 2025.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class Arcee(Transformer):
    """Arcee AFM."""

    norm, pairing = "rms", "norm"

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the feed-forward, each on the norm of x and added to it."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.feed_forward(b.norm(x, "ffn_norm"), "relu_squared", add_to=x)
