"""StarCoder 2, and Nemotron (Minitron), which differs in the function of its feed-forward.

    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)      n = LayerNorm(x)
                x += W_down f(W_up n)                                     n = LayerNorm(x)

f is GELU by tanh, or the square of ReLU. Grouped queries, rotary positions in halves, biases
wherever the file has them. StarCoder's files carry no sliding window. Lozhkov et al. 2024; Parmar
et al. 2024.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class StarCoder2(Transformer):
    """StarCoder 2."""

    norm, pairing, activation = "layer", "neox", "gelu"

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the feed-forward, each on the norm of x and added to it."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.feed_forward(b.norm(x, "ffn_norm"), self.activation, add_to=x)


class Nemotron(StarCoder2):
    """Nemotron 4, Minitron."""

    tied, activation = "never", "relu_squared"
