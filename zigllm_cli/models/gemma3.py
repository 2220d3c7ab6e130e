"""Gemma 3: normalised queries and keys; five layers of six see a sliding window.

    per block:  x += RMSNorm(W_o attention(rope(RMSNorm(W_q n)), rope(RMSNorm(W_k n)), W_v n))
                x += RMSNorm(W_down (gelu(W_gate n) * W_up n))

each n = RMSNorm(x). Local layers have angles of their own, never stretched. Kamath et al. 2025.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.gemma import Gemma
from zigllm_cli.models.gemma2 import post_normed, scale_by_width
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters
from zigllm_cli.plan.operations import Rotation, Value
from zigllm_cli.plan.plan import Plan

LAYERS_27B = 62


@dataclass(frozen=True)
class Gemma3Hyperparameters(Hyperparameters):
    """What is particular to Gemma 3.

    Attributes:
        window: positions that a local layer sees, itself included; 0 where none is local.
        local: which layers are local.
        local_base: of the local layers' angles.
        logit_cap: 0 for none.
    """

    window: int
    local: tuple[bool, ...]
    local_base: float
    logit_cap: float

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """With the family's defaults."""
        blocks = keys.count("block_count", most=10_000)
        own = {
            "window": keys.count("attention.sliding_window", 0),
            "local": keys.local_layers("attention.sliding_window_pattern", blocks, 6),
            "local_base": keys.number("rope.freq_base_swa", 10000.0),
            "logit_cap": keys.number("final_logit_softcapping", 0.0, positive=False),
        }
        if blocks == LAYERS_27B:
            own["scale"] = scale_by_width(keys)
        return own


class Gemma3(Gemma):
    """Gemma 3, text."""

    Hyper, tied = Gemma3Hyperparameters, "fallback"
    hyper: Gemma3Hyperparameters

    def block(self, b: Block, x: Value) -> Value:
        """Normalised heads, local or global angles and sight."""
        h = self.hyper
        local = h.local[b.index] and h.window > 0
        q, k, v = b.queries_keys_values(b.norm(x, "attn_norm"))
        q, k = b.rotate(*b.head_norms(q, k), self.local_rotation() if local else None)
        return post_normed(b, b.attend(q, k, v, window=h.window if local else 0), x)

    def local_rotation(self) -> Rotation:
        """The angles of local layers."""
        rope = self.hyper.rope
        assert rope is not None
        plain = replace(rope, base=self.hyper.local_base, scaling="none")
        return plain.rotation("neox", None)

    def logits(self, plan: Plan, n: Value) -> Value:
        """Capped, where the file says so."""
        return plan.soft_cap(super().logits(plan, n), self.hyper.logit_cap)
