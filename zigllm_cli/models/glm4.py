"""GLM-4: norms before and behind each branch, half of each head rotated.

    per block:  x += RMSNorm(W_o attention(rope(W_q n), rope(W_k n), W_v n))
                x += RMSNorm(W_down (silu(W_gate n) * W_up n))

each n = RMSNorm(x); rotary positions in neighbouring pairs. GLM team 2024.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class GLM4(Transformer):
    """GLM-4 0414."""

    norm, pairing = "rms", "norm"

    def block(self, b: Block, x: Value) -> Value:
        """What a branch gives is normalised before it is added."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.add(x, b.norm(b.product(a, "attn_output"), "post_attention_norm"))
        y = b.gated(b.norm(x, "ffn_norm"), "silu")
        return b.add(x, b.norm(y, "post_ffw_norm"))
