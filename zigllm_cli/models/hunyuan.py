"""Hunyuan (dense): queries and keys are normalised after they are rotated. Tencent 2025.

    per block:  x += W_o attention(RMSNorm(rope(W_q n)), RMSNorm(rope(W_k n)), W_v n)
                x += W_down (silu(W_gate n) * W_up n)

each n = RMSNorm(x); rotary positions in halves.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class Hunyuan(Transformer):
    """Hunyuan, dense."""

    norm, pairing = "rms", "neox"

    def block(self, b: Block, x: Value) -> Value:
        """Attention with normalised heads, then the gated feed-forward."""
        q, k, v = b.queries_keys_values(b.norm(x, "attn_norm"))
        q, k = b.head_norms(*b.rotate(q, k))
        a, x = b.wanted(b.attend(q, k, v), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.gated(b.norm(x, "ffn_norm"), "silu", add_to=x)
