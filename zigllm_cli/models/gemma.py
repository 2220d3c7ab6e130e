"""Gemma: LLaMA's block with GELU, wide heads, and a scaled embedding.

    x = sqrt(width) * embed(token)
    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)
                x += W_down (gelu(W_gate n) * W_up n)

each n = RMSNorm(x); the files hold the norms' weights with their 1 added. GELU by tanh, rotary
positions in halves, the embedding is the output matrix. Mesnard et al. 2024.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan


class Gemma(Transformer):
    """Gemma, CodeGemma."""

    norm, pairing, tied = "rms", "neox", "always"

    def embed(self, plan: Plan, context: int) -> Value:
        """The tokens' vectors times the square root of their width."""
        table = self.matrix("token_embd", self.hyper.vocabulary, self.hyper.width)
        return plan.embed(table, float(np.float32(sqrt(self.hyper.width))))

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the gated feed-forward, each on the norm of x and added to it."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.gated(b.norm(x, "ffn_norm"), "gelu", add_to=x)
