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

from dataclasses import dataclass
from math import sqrt

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.rope import RopeSettings, frequency_factors
from zigllm_cli.models.tensors import Tensors
from zigllm_cli.plan.cache import CacheShape
from zigllm_cli.plan.operations import Rotation, Value, Vector
from zigllm_cli.plan.plan import Plan


@dataclass(frozen=True)
class LlamaHyperparameters:
    """What the metadata of a `llama` file says.

    Attributes:
        width: floats of the residual stream (embedding_length).
        ff: width of the feed-forward layer.
        heads, kv_heads, head_dim: of attention.
        scale: of the scores.
    """

    blocks: int
    width: int
    ff: int
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    epsilon: float
    scale: float
    context_length: int
    vocabulary: int
    rope: RopeSettings

    @classmethod
    def read(cls, file: GGUFFile) -> LlamaHyperparameters:
        """From a file's metadata.

        Raises:
            InputError: a key is missing or makes no sense.
        """
        keys = Keys(file)
        width, heads = keys.count("embedding_length"), keys.count("attention.head_count")
        kv_heads = keys.count("attention.head_count_kv", heads)
        if heads % kv_heads:
            raise InputError(f"{heads} attention heads cannot share {kv_heads} key-value heads")
        if width % heads and file.hyperparameter("attention.key_length") is None:
            raise InputError(f"an embedding_length of {width} cannot be cut into {heads} heads")
        head_dim = keys.count("attention.key_length", width // heads)
        context = keys.count("context_length", most=1 << 31)
        return cls(
            blocks=keys.count("block_count", most=10_000),
            width=width,
            ff=keys.count("feed_forward_length"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            value_dim=keys.count("attention.value_length", head_dim),
            epsilon=keys.number("attention.layer_norm_rms_epsilon"),
            scale=keys.number("attention.scale", 0.0, positive=False) or 1 / sqrt(head_dim),
            context_length=context,
            vocabulary=_vocabulary(file),
            rope=RopeSettings.read(keys, head_dim, context),
        )


def _vocabulary(file: GGUFFile) -> int:
    """Rows of the embedding table: the tensor knows best."""
    if "token_embd.weight" not in file.tensors:
        raise InputError("tensor token_embd.weight is missing")
    return file.tensors["token_embd.weight"].rows


class Llama:
    """A `llama` model: hyper-parameters, tensors, plan."""

    def __init__(self, file: GGUFFile) -> None:
        self.tensors = Tensors(file)
        self.hyper = LlamaHyperparameters.read(file)
        if file.hyperparameter("expert_count"):
            raise UnsupportedError("llama files with experts (Mixtral) cannot be run yet")
        self.vocabulary = self.hyper.vocabulary
        self.context_length = self.hyper.context_length
        shape = CacheShape(self.hyper.kv_heads, self.hyper.head_dim, self.hyper.value_dim)
        self.layers = (shape,) * self.hyper.blocks

    def plan(self, context: int) -> Plan:
        """The forward pass for a context of this many positions."""
        h, t = self.hyper, self.tensors
        factors = frequency_factors(t, h.rope, context)
        rotation = h.rope.rotation("norm", factors)
        plan = Plan()
        x = plan.embed(t.matrix("token_embd.weight", h.vocabulary, h.width))
        for block in range(h.blocks):
            x = self._attention(plan, block, x, rotation)
            x = self._feed_forward(plan, block, x)
        n = plan.rms_norm(x, t.vector("output_norm.weight", h.width), h.epsilon, name="h.head")
        tied = "output.weight" if t.has("output.weight") else "token_embd.weight"
        output = t.matrix(tied, h.vocabulary, h.width)
        bias = t.optional_vector("output.bias", h.vocabulary)
        plan.finish(plan.product(output, n, "logits", bias=bias))
        return plan

    def _attention(self, plan: Plan, block: int, x: Value, rotation: Rotation) -> Value:
        h, name = self.hyper, f"blk.{block}."
        n = plan.rms_norm(x, self._norm(name + "attn_norm"), h.epsilon)
        q = self._product(plan, name + "attn_q", h.heads * h.head_dim, n, "q")
        k = self._product(plan, name + "attn_k", h.kv_heads * h.head_dim, n, "k")
        v = self._product(plan, name + "attn_v", h.kv_heads * h.value_dim, n, "v")
        q = plan.rope(q, h.heads, h.head_dim, rotation)
        k = plan.rope(k, h.kv_heads, h.head_dim, rotation)
        plan.store(k, v, layer=block, heads=h.kv_heads)
        a = plan.attention(
            q,
            layer=block,
            heads=h.heads,
            kv_heads=h.kv_heads,
            value_dim=h.value_dim,
            scale=h.scale,
        )
        if block == h.blocks - 1:  # only the rows whose logits are wanted go further
            a, x = plan.select(a), plan.select(x)
        return self._product(plan, name + "attn_output", h.width, a, "x", add_to=x)

    def _feed_forward(self, plan: Plan, block: int, x: Value) -> Value:
        h, name = self.hyper, f"blk.{block}."
        normed = "h.head" if x.head else "h"
        n = plan.rms_norm(x, self._norm(name + "ffn_norm"), h.epsilon, name=normed)
        gate = self._product(plan, name + "ffn_gate", h.ff, n, "gate")
        up = self._product(plan, name + "ffn_up", h.ff, n, "up")
        return self._product(
            plan, name + "ffn_down", h.width, plan.activation("silu", gate, up), "x", add_to=x
        )

    def _norm(self, name: str) -> Vector:
        return self.tensors.vector(name + ".weight", self.hyper.width)

    def _product(
        self, plan: Plan, name: str, rows: int, x: Value, out: str, *, add_to: Value | None = None
    ) -> Value:
        """W x, with the file's bias if it has one."""
        weight = self.tensors.matrix(name + ".weight", rows, x.width)
        bias = self.tensors.optional_vector(name + ".bias", rows)
        return plan.product(weight, x, out, bias=bias, add_to=add_to)


def read(file: GGUFFile) -> Llama:
    """The model in a file."""
    return Llama(file)
