"""Command R and R+: attention and gated feed-forward side by side on one norm.

    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)
                     + W_down (silu(W_gate n) * W_up n)
    logits = logit_scale * W_embed LayerNorm(x)

n = LayerNorm(x) without bias; rotary positions in neighbouring pairs. R+ normalises queries and
keys, each head with weights of its own. Cohere 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan


@dataclass(frozen=True)
class CommandRHyperparameters(Hyperparameters):
    """What is particular to Command R.

    Attributes:
        logit_scale: factor of the logits.
    """

    logit_scale: float

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """The key must be there."""
        return {"logit_scale": keys.number("logit_scale")}


class CommandR(Transformer):
    """Command R, Command R+, Aya 23."""

    norm, pairing, tied = "layer", "norm", "always"
    Hyper: ClassVar[type[CommandRHyperparameters]] = CommandRHyperparameters
    hyper: CommandRHyperparameters

    def block(self, b: Block, x: Value) -> Value:
        """Both branches read the same norm."""
        n = b.norm(x, "attn_norm")
        a, n, x = b.wanted(self.attention(b, n), n, x)
        x = b.product(a, "attn_output", add_to=x)
        return b.gated(n, "silu", add_to=x)

    def attention(self, b: Block, n: Value) -> Value:
        """With normalised heads, where the file has weights for that."""
        q, k, v = b.queries_keys_values(n)
        if b.has("attn_q_norm"):
            q, k = b.head_norms(q, k)
        return b.attend(*b.rotate(q, k), v)

    def logits(self, plan: Plan, n: Value) -> Value:
        """Scaled."""
        return super().logits(plan, plan.scale(n, self.hyper.logit_scale))
