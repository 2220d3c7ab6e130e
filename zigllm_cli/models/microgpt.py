"""microgpt, Karpathy's smallest GPT: RMSNorms without weights, none at the end, ReLU.

    x = RMSNorm(embed(token) + position)
    per block:  x += W_o attention(W_q n, W_k n, W_v n)      n = RMSNorm(x)
                x += W_down relu(W_up n)                      n = RMSNorm(x)
    logits = W_output x

Files of this architecture come from `zigllm train`.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan


class MicroGPT(Transformer):
    """microgpt."""

    norm, places, tied = "rms", "learned", "never"

    def embed(self, plan: Plan, context: int) -> Value:
        """The tokens' vectors plus those of their positions, normalised."""
        x = self.positions(plan, super().embed(plan, context), context)
        return plan.rms_norm(x, None, self.hyper.epsilon, name="x")

    def named_norm(
        self, plan: Plan, x: Value, tensor: str, *, parts: int = 1, name: str = "h"
    ) -> Value:
        """No weights; the last hidden states stay as they are."""
        if tensor == "output_norm":
            return x
        return plan.rms_norm(x, None, self.hyper.epsilon, name=name)

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the feed-forward, each on the norm of x and added to it."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.feed_forward(b.norm(x, "ffn_norm"), "relu", add_to=x)
