"""MPT: ALiBi or learned positions, clamped queries, keys and values, few biases.

    per block:  x += W_o attention(clamp(W_q n), clamp(W_k n), clamp(W_v n); slopes)
                x += W_down gelu(W_up n)

each n = LayerNorm(x), GELU by erf. Some have queries and keys normalised. MosaicML 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.models.alibi import slopes
from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan


@dataclass(frozen=True)
class MPTHyperparameters(Hyperparameters):
    """What is particular to MPT.

    Attributes:
        clamp: of queries, keys and values; 0 for none.
        max_bias: of ALiBi; 0 for none.
    """

    clamp: float
    max_bias: float

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """Both may be missing."""
        return {
            "clamp": keys.number("attention.clamp_kqv", 0.0, positive=False),
            "max_bias": keys.number("attention.max_alibi_bias", 0.0, positive=False),
        }


class MPT(Transformer):
    """MPT, Replit."""

    norm, places, Hyper = "layer", "ALiBi or learned", MPTHyperparameters
    hyper: MPTHyperparameters

    def embed(self, plan: Plan, context: int) -> Value:
        """The tokens' vectors plus those of their positions, where the file has these."""
        x = super().embed(plan, context)
        return self.positions(plan, x, context) if self.has("position_embd.weight") else x

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the feed-forward, each on the norm of x and added to it."""
        h = self.hyper
        values = b.queries_keys_values(b.norm(x, "attn_norm"))
        q, k, v = (b.plan.clamp(value, h.clamp) for value in values)
        if b.has("attn_q_norm"):
            q = b.norm(q, "attn_q_norm", out="q")
            k = b.norm(k, "attn_k_norm", out="k")
        falling = slopes(h.heads, h.max_bias) if h.max_bias else None
        a, x = b.wanted(b.attend(q, k, v, slopes=falling), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.feed_forward(b.norm(x, "ffn_norm"), "gelu_erf", add_to=x)
