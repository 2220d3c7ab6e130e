"""BERT and its kin: encoders, whose tokens see each other in both directions.

    x = LayerNorm(embed(token) + type 0 + position)
    per block:  x = LayerNorm(x + W_o attention(W_q x, W_k x, W_v x))
                x = LayerNorm(x + W_down gelu(W_up x))

nomic-bert has rotary positions in halves and W_down (silu(W_gate x) * W_up x). GELU by erf. There
are no logits: hidden states are pooled to an embedding. Devlin et al. 2018; Nussbaum et al. 2024.
"""

from __future__ import annotations

from zigllm_cli.models.block import Block
from zigllm_cli.models.transformer import Transformer
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan


class Bert(Transformer):
    """BERT, MiniLM, BGE, E5, XLM-RoBERTa."""

    norm, places, causal = "layer", "learned", False

    def plan(self, context: int) -> Plan:
        """The forward pass for a context of this many positions."""
        plan = Plan()
        rotation = self.rotation(context)
        x = self.embed(plan, context)
        for index in range(self.hyper.blocks):
            x = self.block(Block(self, plan, index, rotation), x)
        plan.finish(x)
        return plan

    def embed(self, plan: Plan, context: int) -> Value:
        """The tokens' vectors plus those of their type and position, normalised."""
        x = super().embed(plan, context)
        if self.has("token_types.weight"):
            types = self.tensors.size("token_types.weight") // self.hyper.width
            x = plan.add_row(x, self.tensors.table("token_types.weight", types, x.width)[:1])
        if self.has("position_embd.weight"):
            x = self.positions(plan, x, context)
        return self.named_norm(plan, x, "token_embd_norm", name="x")

    def block(self, b: Block, x: Value) -> Value:
        """The norm comes behind each sum."""
        q, k, v = b.queries_keys_values(x)
        if b.has("attn_q_norm"):
            q, k = b.norm(q, "attn_q_norm", out="q"), b.norm(k, "attn_k_norm", out="k")
        a, x = b.wanted(b.attend(*b.rotate(q, k), v), x)
        x = b.norm(b.product(a, "attn_output", add_to=x), "attn_output_norm", out=x.name)
        return b.norm(self.feed_forward(b, x), "layer_output_norm", out=x.name)

    def feed_forward(self, b: Block, x: Value) -> Value:
        """x + W_down gelu(W_up x)."""
        return b.feed_forward(x, "gelu_erf", add_to=x)


class NomicBert(Bert):
    """Nomic Embed 1 and 1.5."""

    pairing = "neox"

    def feed_forward(self, b: Block, x: Value) -> Value:
        """x + W_down (silu(W_gate x) * W_up x)."""
        return b.gated(x, "silu", add_to=x)
