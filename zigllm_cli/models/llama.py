"""LLaMA 1 to 3, Mistral, TinyLlama, Yi, SmolLM2 and everything else called `llama`.

    x = embed(token)
    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)      n = RMSNorm(x)
                x += W_down (silu(W_gate n) * W_up n)                     n = RMSNorm(x)
    logits = W_output RMSNorm(x)

Grouped-query attention (several query heads per key-value head), rotary positions in
neighbouring pairs (the file's rows are already permuted for that), biases where the file has
them. Touvron et al. 2023; Ainslie et al. 2023 (GQA).
"""

from __future__ import annotations

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class Llama(Transformer):
    """LLaMA 1 to 3, Mistral, TinyLlama, Yi, SmolLM2."""

    norm, pairing = "rms", "norm"

    def __init__(self, file: GGUFFile) -> None:
        super().__init__(file)
        if file.hyperparameter("expert_count"):
            raise UnsupportedError("llama files with experts (Mixtral) cannot be run yet")

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the gated feed-forward, each on the norm of x and added to it."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.gated(b.norm(x, "ffn_norm"), "silu", add_to=x)
