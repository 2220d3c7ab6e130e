"""GPT-2, and StarCoder (GPTBigCode), which is GPT-2 with one head of keys for all queries.

    x = embed(token) + position
    per block:  x += W_o attention(W_q n, W_k n, W_v n)      n = LayerNorm(x)
                x += W_down gelu(W_up n)                      n = LayerNorm(x)
    logits = W_output LayerNorm(x)

Learned positions, biases everywhere, GELU by tanh; the exact one where `hidden_activation` is
"gelu", as nanoGPT has it. Radford et al. 2019; Li et al. 2023.
"""

from __future__ import annotations

from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan


class GPT2(Transformer):
    """GPT-2."""

    norm, places = "layer", "learned"

    def __init__(self, file: GGUFFile) -> None:
        super().__init__(file)
        named = Keys(file).text("hidden_activation", "gelu_new", ("gelu", "gelu_new"))
        self.activation = "gelu_erf" if named == "gelu" else "gelu"

    def embed(self, plan: Plan, context: int) -> Value:
        """The tokens' vectors plus those of their positions."""
        return self.positions(plan, super().embed(plan, context), context)

    def block(self, b: Block, x: Value) -> Value:
        """Attention, then the feed-forward, each on the norm of x and added to it."""
        a, x = b.wanted(self.attention(b, b.norm(x, "attn_norm")), x)
        x = b.product(a, "attn_output", add_to=x)
        return b.feed_forward(b.norm(x, "ffn_norm"), self.activation, add_to=x)

    def attention(self, b: Block, n: Value) -> Value:
        """Over everything before."""
        return b.attention(n)


class StarCoder(GPT2):
    """StarCoder, SantaCoder (GPTBigCode)."""
