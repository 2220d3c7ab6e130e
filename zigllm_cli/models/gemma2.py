"""Gemma 2: norms before and behind each branch, capped scores, every other layer local.

    per block:  x += RMSNorm(W_o attention(rope(W_q n), rope(W_k n), W_v n))
                x += RMSNorm(W_down (gelu(W_gate n) * W_up n))
    scores = cap * tanh(scores / cap), and so for the logits

each n = RMSNorm(x). Even layers see a sliding window. Riviere et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.gemma import Gemma
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan

LAYERS_27B = 46
"""The model with so many layers scales its scores by the width per head, not by the head's."""


@dataclass(frozen=True)
class Gemma2Hyperparameters(Hyperparameters):
    """What is particular to Gemma 2.

    Attributes:
        window: positions that a local layer sees, itself included.
        local: which layers are local.
        score_cap, logit_cap: 0 for none.
    """

    window: int
    local: tuple[bool, ...]
    score_cap: float
    logit_cap: float

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """With the family's defaults."""
        blocks = keys.count("block_count", most=10_000)
        own = {
            "window": keys.count("attention.sliding_window", 4096),
            "local": keys.local_layers("attention.sliding_window_pattern", blocks, 2),
            "score_cap": keys.number("attn_logit_softcapping", 50.0, positive=False),
            "logit_cap": keys.number("final_logit_softcapping", 30.0, positive=False),
        }
        if blocks == LAYERS_27B:
            own["scale"] = scale_by_width(keys)
        return own


def scale_by_width(keys: Keys) -> float:
    """1 / sqrt(width per head)."""
    return 1 / sqrt(keys.count("embedding_length") / keys.count("attention.head_count"))


class Gemma2(Gemma):
    """Gemma 2."""

    Hyper = Gemma2Hyperparameters
    hyper: Gemma2Hyperparameters

    def block(self, b: Block, x: Value) -> Value:
        """What a branch gives is normalised before it is added."""
        h = self.hyper
        q, k, v = b.queries_keys_values(b.norm(x, "attn_norm"))
        window = h.window if h.local[b.index] else 0
        a = b.attend(*b.rotate(q, k), v, window=window, softcap=h.score_cap)
        return post_normed(b, a, x)

    def logits(self, plan: Plan, n: Value) -> Value:
        """Capped."""
        return plan.soft_cap(super().logits(plan, n), self.hyper.logit_cap)


def post_normed(b: Block, a: Value, x: Value) -> Value:
    """The rest of a block behind attention: both branches normalised, then added to x."""
    a, x = b.wanted(a, x)
    x = b.add(x, b.norm(b.product(a, "attn_output"), "post_attention_norm"))
    y = b.gated(b.norm(x, "ffn_norm"), "gelu")
    return b.add(x, b.norm(y, "post_ffw_norm"))
