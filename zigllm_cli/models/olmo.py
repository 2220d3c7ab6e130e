"""OLMo 1: LLaMA's block with LayerNorms that have no weights, and clamped attention.

    per block:  x += W_o attention(rope(clamp(W_q n)), rope(clamp(W_k n)), clamp(W_v n))
                x += W_down (silu(W_gate n) * W_up n)

each n = LayerNorm(x). Groeneveld et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan


@dataclass(frozen=True)
class OlmoHyperparameters(Hyperparameters):
    """What is particular to OLMo 1.

    Attributes:
        clamp: of queries, keys and values; 0 for none.
    """

    clamp: float

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """It may be missing."""
        return {"clamp": keys.number("attention.clamp_kqv", 0.0, positive=False)}


class Olmo(Transformer):
    """OLMo 1."""

    norm, pairing, Hyper = "layer", "norm", OlmoHyperparameters
    hyper: OlmoHyperparameters

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the gated feed-forward, each on the norm of x and added to it."""
        values = b.queries_keys_values(b.norm(x, "attn_norm"))
        q, k, v = (b.plan.clamp(value, self.hyper.clamp) for value in values)
        a, x = b.wanted(b.attend(*b.rotate(q, k), v), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.gated(b.norm(x, "ffn_norm"), "silu", add_to=x)

    def named_norm(
        self, plan: Plan, x: Value, tensor: str, *, parts: int = 1, name: str = "h"
    ) -> Value:
        """Without weights, whatever its name."""
        return plan.layer_norm(x, None, None, self.hyper.epsilon, name=name)
