"""LLaMA 1 to 3, Mistral, Mixtral, TinyLlama, Yi, SmolLM2 and everything else called `llama`.

    x = embed(token)
    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)      n = RMSNorm(x)
                x += W_down (silu(W_gate n) * W_up n)                     n = RMSNorm(x)
    logits = W_output RMSNorm(x)

Grouped-query attention (several query heads per key-value head), rotary positions in
neighbouring pairs (the file's rows are already permuted for that), biases where the file has
them. With experts (Mixtral) the second line is that of `experts`, its weights divided by their sum.
Touvron et al. 2023; Ainslie et al. 2023 (GQA); Jiang et al. 2024 (Mixtral).
"""

from __future__ import annotations

from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.block import Block
from zigllm_cli.models.experts import ExpertSettings, mixture
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value


class Llama(Transformer):
    """LLaMA 1 to 3, Mistral, Mixtral, TinyLlama, Yi, SmolLM2.

    Attributes:
        experts: of the feed-forward layer; None for a single one.
    """

    norm, pairing = "rms", "norm"

    def __init__(self, file: GGUFFile) -> None:
        super().__init__(file)
        self.experts = self.expert_settings(Keys(file))

    def expert_settings(self, keys: Keys) -> ExpertSettings | None:
        """Mixtral's experts are as wide as the single layer would be."""
        if not keys.count("expert_count", 0):
            return None
        return ExpertSettings.read(keys, normalise=True, ff=self.hyper.ff)

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the gated feed-forward, each on the norm of x and added to it."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        x = b.product(a, "attn_output", add_to=x)
        return self.feed_forward(b, b.norm(x, "ffn_norm"), x)

    def feed_forward(self, b: Block, n: Value, x: Value) -> Value:
        """x + the gated layer, or what the experts give."""
        if self.experts:
            return mixture(b, n, self.experts, add_to=x)
        return b.gated(n, "silu", add_to=x)
