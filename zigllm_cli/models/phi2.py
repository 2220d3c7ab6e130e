"""Phi-1 to 2, and GPT-J: attention and feed-forward side by side, on one norm.

    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n) + W_down gelu(W_up n)

n = LayerNorm(x). Only the first dimensions of a head are rotated, in halves (Phi) or neighbouring
pairs (GPT-J); GELU by tanh. The output matrix has a bias. Gunasekar et al. 2023; Wang and
Komatsuzaki 2021.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class Phi2(Transformer):
    """Phi 1, 1.5 and 2."""

    norm, pairing, tied = "layer", "neox", "never"

    def block(self, b: Block, x: Value) -> Value:
        """Both branches read the same norm."""
        n = b.norm(x, "attn_norm")
        a, n, x = b.wanted(b.attention(n), n, x)
        x = b.product(a, "attn_output", add_to=x)
        return b.feed_forward(n, "gelu", add_to=x)


class GPTJ(Phi2):
    """GPT-J."""

    pairing = "norm"
