"""What all transformers have in common: sizes, and the way from tokens to logits around the blocks.

A family is a subclass of `Transformer` that says in `block` what one block computes, in the words
of `models.block`, and names what else is particular:

    class Qwen2(Transformer):
        norm, pairing = "rms", "neox"

        def block(self, b: Block, x: Value) -> Value: ...
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.rope import RopeSettings, frequency_factors
from zigllm_cli.models.tensors import Tensors
from zigllm_cli.plan.cache import CacheShape
from zigllm_cli.plan.operations import Rotation, Value
from zigllm_cli.plan.plan import Plan

EPSILONS = {"rms": "attention.layer_norm_rms_epsilon", "layer": "attention.layer_norm_epsilon"}
"""The key of the epsilon, by the kind of norm."""


@dataclass(frozen=True)
class Hyperparameters:
    """What the metadata of every transformer says.

    Attributes:
        width: floats of the residual stream (embedding_length).
        ff: width of the feed-forward layer.
        heads, kv_heads, head_dim, value_dim: of attention.
        epsilon: of the norms.
        scale: of the scores.
        rope: None where positions are not rotated.
        embedding_scale: factor of the embedded tokens.
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
    rope: RopeSettings | None
    embedding_scale: float

    @classmethod
    def read(cls, file: GGUFFile, *, norm: str, rotary: bool) -> Hyperparameters:
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
        fields: dict[str, Any] = {
            "blocks": keys.count("block_count", most=10_000),
            "width": width,
            "ff": keys.count("feed_forward_length"),
            "heads": heads,
            "kv_heads": kv_heads,
            "head_dim": head_dim,
            "value_dim": keys.count("attention.value_length", head_dim),
            "epsilon": keys.number(EPSILONS[norm]),
            "scale": keys.number("attention.scale", 0.0, positive=False) or 1 / sqrt(head_dim),
            "context_length": context,
            "vocabulary": _vocabulary(file),
            "rope": RopeSettings.read(keys, head_dim, context) if rotary else None,
            "embedding_scale": keys.number("embedding_scale", 0.0, positive=False) or 1.0,
        }
        return cls(**{**fields, **cls.own(keys)})

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """The fields that a family adds (or reads in its own way)."""
        return {}


def _vocabulary(file: GGUFFile) -> int:
    """Rows of the embedding table: the tensor knows best."""
    if "token_embd.weight" not in file.tensors:
        raise InputError("tensor token_embd.weight is missing")
    return file.tensors["token_embd.weight"].rows


class Transformer:
    """A model of equal blocks, one behind the other.

    Attributes:
        norm: "rms" or "layer".
        pairing: of rotary positions, "norm" or "neox"; None where there are none.
        places: how a token's place is told where it is not by rotation: "learned", "ALiBi", ...
        tied: whether the embedding table is also the output matrix: "always", "never", or
            "fallback" where the file has no other.
        causal: whether a token sees only those before it.
        Hyper: the class of the hyper-parameters.
    """

    norm: ClassVar[str] = "rms"
    pairing: ClassVar[str | None] = None
    places: ClassVar[str] = ""
    tied: ClassVar[str] = "fallback"
    causal: ClassVar[bool] = True
    Hyper: ClassVar[type[Hyperparameters]] = Hyperparameters

    hyper: Hyperparameters

    def __init__(self, file: GGUFFile) -> None:
        self.tensors = Tensors(file)
        self.hyper = self.Hyper.read(file, norm=self.norm, rotary=self.pairing is not None)
        self.vocabulary = self.hyper.vocabulary
        self.context_length = self.hyper.context_length
        shape = CacheShape(self.hyper.kv_heads, self.hyper.head_dim, self.hyper.value_dim)
        self.layers = (shape,) * self.hyper.blocks

    # -------------------------------------------------------------- the forward pass

    def plan(self, context: int) -> Plan:
        """The forward pass for a context of this many positions."""
        plan = Plan()
        rotation = self.rotation(context)
        x = self.embed(plan, context)
        for index in range(self.hyper.blocks):
            x = self.block(Block(self, plan, index, rotation), x)
        n = self.named_norm(plan, x, "output_norm", name="h.head")
        plan.finish(n, self.logits(plan, n))
        return plan

    def block(self, b: Block, x: Value) -> Value:
        """What one block makes of x."""
        raise NotImplementedError

    def embed(self, plan: Plan, context: int) -> Value:
        """From token ids to x."""
        h = self.hyper
        return plan.embed(self.matrix("token_embd", h.vocabulary, h.width), h.embedding_scale)

    def logits(self, plan: Plan, n: Value) -> Value:
        """From the last, normalised hidden states to logits."""
        name = "output"
        if self.tied == "always" or (self.tied == "fallback" and not self.has("output.weight")):
            name = "token_embd"
        weight = self.matrix(name, self.hyper.vocabulary, self.hyper.width)
        bias = self.tensors.optional_vector("output.bias", self.hyper.vocabulary)
        return plan.product(weight, n, "logits", bias=bias)

    def rotation(self, context: int) -> Rotation | None:
        """By what queries and keys are rotated, if by anything."""
        rope = self.hyper.rope
        if rope is None or self.pairing is None:
            return None
        return rope.rotation(self.pairing, frequency_factors(self.tensors, rope, context))

    # -------------------------------------------------------------- words for subclasses

    def has(self, name: str) -> bool:
        """Whether the file has a tensor of this full name."""
        return self.tensors.has(name)

    def matrix(self, name: str, rows: int, columns: int) -> Any:
        """The matrix `{name}.weight`."""
        return self.tensors.matrix(f"{name}.weight", rows, columns)

    def named_norm(
        self, plan: Plan, x: Value, tensor: str, *, parts: int = 1, name: str = "h"
    ) -> Value:
        """x normalised with `{tensor}.weight` (and, for LayerNorm, its bias if there is one).

        The tensor has a weight for each value of a slice, or for each value of x.
        """
        shape: tuple[int, ...] = (x.width // parts,)
        if self.tensors.size(f"{tensor}.weight") == x.width and parts > 1:
            shape = (x.width // parts, parts)
        weight = self.tensors.vector(f"{tensor}.weight", *shape)
        if self.norm == "rms":
            return plan.rms_norm(x, weight, self.hyper.epsilon, parts=parts, name=name)
        bias = self.tensors.optional_vector(f"{tensor}.bias", *shape)
        return plan.layer_norm(x, weight, bias, self.hyper.epsilon, parts=parts, name=name)

    def positions(self, plan: Plan, x: Value, context: int) -> Value:
        """x plus the learned vector of each position (`position_embd.weight`)."""
        name, width = "position_embd.weight", self.hyper.width
        rows = self.tensors.size(name) // width
        if 0 < rows < context:
            raise InputError(
                f"the model knows {rows} positions, fewer than the context of {context}:"
                f" choose --ctx {rows} or less"
            )
        return plan.add_row(x, self.tensors.table(name, max(rows, 1), width))
