"""SmolLM3: LLaMA's block; every fourth layer does not rotate (NoPE). Bakouch et al. 2025."""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value

EVERY = 4


class SmolLM3(Transformer):
    """SmolLM3."""

    norm, pairing = "rms", "norm"

    def block(self, b: Block, x: Value) -> Value:
        """Attention with or without positions, then the gated feed-forward."""
        q, k, v = b.queries_keys_values(b.norm(x, "attn_norm"))
        if (b.index + 1) % EVERY:
            q, k = b.rotate(q, k)
        a, x = b.wanted(b.attend(q, k, v), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.gated(b.norm(x, "ffn_norm"), "silu", add_to=x)
