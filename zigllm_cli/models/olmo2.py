"""OLMo 2 and 3: norms behind the branches only, and queries and keys normalised as a whole.

    per block:  x += RMSNorm(W_o attention(rope(RMSNorm(W_q x)), rope(RMSNorm(W_k x)), W_v x))
                x += RMSNorm(W_down (silu(W_gate x) * W_up x))

OLMo 3 has a sliding window in three layers of four, whose angles are never stretched. OLMo team
2025.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Rotation, Value


@dataclass(frozen=True)
class Olmo2Hyperparameters(Hyperparameters):
    """What is particular to OLMo 2 and 3.

    Attributes:
        window: positions that a local layer sees, itself included; 0 where none is local.
        local: which layers are local.
    """

    window: int
    local: tuple[bool, ...]

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """OLMo 2 has no window."""
        blocks = keys.count("block_count", most=10_000)
        return {
            "window": keys.count("attention.sliding_window", 0),
            "local": keys.local_layers("attention.sliding_window_pattern", blocks, 4),
        }


class Olmo2(Transformer):
    """OLMo 2 and 3."""

    norm, pairing, tied = "rms", "neox", "never"
    Hyper = Olmo2Hyperparameters
    hyper: Olmo2Hyperparameters

    def block(self, b: Block, x: Value) -> Value:
        """What a branch gives is normalised before it is added."""
        h = self.hyper
        local = h.local[b.index] and h.window > 0
        q, k, v = b.queries_keys_values(x)
        q, k = b.norm(q, "attn_q_norm", out="q"), b.norm(k, "attn_k_norm", out="k")
        q, k = b.rotate(q, k, self.local_rotation() if local else None)
        return self.post_normed(b, b.attend(q, k, v, window=h.window if local else 0), x)

    def post_normed(self, b: Block, a: Value, x: Value) -> Value:
        """The rest of a block behind attention: both branches normalised, then added to x."""
        a, x = b.wanted(a, x)
        x = b.add(x, b.norm(b.product(a, "attn_output"), "post_attention_norm"))
        return b.add(x, b.norm(b.gated(x, "silu"), "post_ffw_norm"))

    def local_rotation(self) -> Rotation:
        """The angles of local layers."""
        rope = self.hyper.rope
        assert rope is not None
        return replace(rope, scaling="none").rotation("neox", None)
