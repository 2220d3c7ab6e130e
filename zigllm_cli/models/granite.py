"""Granite 3 and MiniCPM: LLaMA's block with a factor at every joint.

    x = embedding_scale * embed(token)
    per block:  x += residual_scale * W_o attention(rope(W_q n), rope(W_k n), W_v n)
                x += residual_scale * W_down (silu(W_gate n) * W_up n)
    logits = W_output RMSNorm(x) / logit_scale

each n = RMSNorm(x); scores times `attention.scale`. IBM 2024; Hu et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Rotation, Value
from zigllm_cli.plan.plan import Plan


@dataclass(frozen=True)
class GraniteHyperparameters(Hyperparameters):
    """What is particular to Granite.

    Attributes:
        residual_scale: factor of what a branch adds.
        logit_scale: what the logits are divided by.
        rotates: whether positions are rotated at all.
    """

    residual_scale: float
    logit_scale: float
    rotates: bool

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """The scale of the logits must be there."""
        return {
            "residual_scale": keys.number("residual_scale", 0.0, positive=False) or 1.0,
            "logit_scale": keys.number("logit_scale"),
            "rotates": keys.flag("rope.scaling.finetuned", True),
        }


class Granite(Transformer):
    """Granite 3."""

    norm, pairing = "rms", "norm"
    Hyper = GraniteHyperparameters
    hyper: GraniteHyperparameters

    def rotation(self, context: int) -> Rotation | None:
        """None where the file says that positions do not count."""
        return super().rotation(context) if self.hyper.rotates else None

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the gated feed-forward, each scaled before it is added."""
        factor = self.hyper.residual_scale
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.add(x, b.product(a, "attn_output"), factor)
        return b.add(x, self.feed_forward(b, b.norm(x, "ffn_norm")), factor)

    def feed_forward(self, b: Block, n: Value) -> Value:
        """Gated."""
        return b.gated(n, "silu")

    def logits(self, plan: Plan, n: Value) -> Value:
        """Divided by their scale."""
        return super().logits(plan, plan.scale(n, 1 / self.hyper.logit_scale))
