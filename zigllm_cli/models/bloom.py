"""BLOOM: no positions but ALiBi, and a norm behind the embedding.

    x = LayerNorm(embed(token))
    per block:  x += W_o attention(W_q n, W_k n, W_v n; slopes)      n = LayerNorm(x)
                x += W_down gelu(W_up n)                              n = LayerNorm(x)

Biases everywhere, GELU by tanh. Le Scao et al. 2022.
"""

from __future__ import annotations

from zigllm_cli.models.alibi import slopes
from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan

MAX_BIAS = 8.0


class Bloom(Transformer):
    """BLOOM, BLOOMZ."""

    norm, places = "layer", "ALiBi"

    def embed(self, plan: Plan, context: int) -> Value:
        """The tokens' vectors, normalised."""
        return self.named_norm(plan, super().embed(plan, context), "token_embd_norm", name="x")

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the feed-forward, each on the norm of x and added to it."""
        falling = slopes(self.hyper.heads, MAX_BIAS)
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm"), slopes=falling), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.feed_forward(b.norm(x, "ffn_norm"), "gelu", add_to=x)
