"""EXAONE 4: norms behind the branches only, and normalised heads; global layers do not rotate.

    per block:  x += RMSNorm(W_o attention(rope(RMSNorm(W_q x)), rope(RMSNorm(W_k x)), W_v x))
                x += RMSNorm(W_down (silu(W_gate x) * W_up x))

Where the file has a sliding window, three layers of four see only that, and only they rotate.
LG AI Research 2025.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.olmo2 import Olmo2
from zigllm_cli.plan.operations import Value


class Exaone4(Olmo2):
    """EXAONE 4."""

    tied = "fallback"

    def block(self, b: Block, x: Value) -> Value:
        """What a branch gives is normalised before it is added."""
        h = self.hyper
        local = h.local[b.index] and h.window > 0
        q, k, v = b.queries_keys_values(x)
        q, k = b.head_norms(q, k)
        if local or not h.window:
            q, k = b.rotate(q, k)
        return self.post_normed(b, b.attend(q, k, v, window=h.window if local else 0), x)
