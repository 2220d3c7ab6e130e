"""StableLM 2: LayerNorm with gated feed-forward; the 12B one has both branches side by side.

    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)      n = LayerNorm(x)
                x += W_down (silu(W_gate m) * W_up m)                     m = LayerNorm(x)

Without a norm of its own the feed-forward reads n; queries and keys may be normalised, each head
with weights of its own. Only part of a head is rotated. Bellagente et al. 2024.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class StableLM(Transformer):
    """StableLM 3B, 2 and 12B."""

    norm, pairing, tied = "layer", "neox", "never"

    def block(self, b: Block, x: Value) -> Value:
        """Sequential, or side by side where there is only one norm."""
        n = b.norm(x, "attn_norm")
        q, k, v = b.queries_keys_values(n)
        if b.has("attn_q_norm"):
            q, k = b.head_norms(q, k)
        a, n, x = b.wanted(b.attend(*b.rotate(q, k), v), n, x)
        x = b.product(a, "attn_output", add_to=x)
        if b.has("ffn_norm"):
            n = b.norm(x, "ffn_norm")
        return b.gated(n, "silu", add_to=x)
