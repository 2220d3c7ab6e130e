"""Qwen 2 and 2.5: LLaMA's block with rotary positions in halves.

    per block:  x += W_o attention(rope(W_q n + b_q), rope(W_k n + b_k), W_v n + b_v)
                x += W_down (silu(W_gate n) * W_up n)

each n = RMSNorm(x). Yang et al. 2024.
"""

from __future__ import annotations

from zigllm_cli.models.llama import Llama


class Qwen2(Llama):
    """Qwen 1.5, 2 and 2.5."""

    pairing = "neox"
