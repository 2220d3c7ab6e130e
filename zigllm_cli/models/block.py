"""The vocabulary of blocks: what a family's `block` is written in.

    n = b.norm(x, "attn_norm")
    a, x = b.wanted(b.attention(n), x)
    x = b.product(a, "attn_output", add_to=x)
    return b.gated(b.norm(x, "ffn_norm"), "silu", add_to=x)

Names of tensors are GGUF's, without `blk.N.` and `.weight`. A bias is added wherever the file has
one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zigllm_cli.plan.operations import Rotation, Value, Vector, Weight
from zigllm_cli.plan.plan import Plan

if TYPE_CHECKING:
    from zigllm_cli.models.transformer import Transformer


class Block:
    """One block while its part of a plan is written.

    Attributes:
        model: whose block it is.
        plan: to which its operations go.
        index: its number, from 0.
        rotation: the model's own, which `rotate` uses where no other is given.
    """

    def __init__(
        self, model: Transformer, plan: Plan, index: int, rotation: Rotation | None
    ) -> None:
        self.model, self.plan, self.index, self.rotation = model, plan, index, rotation
        self.hyper = model.hyper

    def has(self, name: str) -> bool:
        """Whether the file has this tensor for this block."""
        return self.model.has(f"blk.{self.index}.{name}.weight")

    def norm(self, x: Value, name: str, *, parts: int = 1, out: str = "h") -> Value:
        """The model's kind of norm of x, or of equal parts of it; `out` names the result."""
        tensor = f"blk.{self.index}.{name}"
        full = f"{out}.head" if x.head and out != x.name else out
        return self.model.named_norm(self.plan, x, tensor, parts=parts, name=full)

    def product(
        self,
        x: Value,
        name: str,
        rows: int | None = None,
        *,
        out: str = "y",
        add_to: Value | None = None,
        part: slice | None = None,
    ) -> Value:
        """W x + bias, as a value of its own or added to another one.

        Args:
            rows: of W; None for the width of the residual stream.
            part: of the rows, where only those are wanted.
        """
        rows = self.hyper.width if rows is None else rows
        tensor = f"blk.{self.index}.{name}"
        weight = self.model.tensors.matrix(f"{tensor}.weight", rows, x.width)
        bias = self.model.tensors.optional_vector(f"{tensor}.bias", rows)
        if part is not None:
            weight, bias = rows_of(weight, part), bias[part] if bias is not None else None
        return self.plan.product(weight, x, out, bias=bias, add_to=add_to)

    # -------------------------------------------------------------- attention

    def queries_keys_values(self, n: Value) -> tuple[Value, Value, Value]:
        """W_q n, W_k n and W_v n, from three tensors or from one with their rows in this order."""
        h = self.hyper
        sizes = {
            "q": h.heads * h.head_dim,
            "k": h.kv_heads * h.head_dim,
            "v": h.kv_heads * h.value_dim,
        }
        if not self.has("attn_qkv"):
            q, k, v = (self.product(n, f"attn_{x}", size, out=x) for x, size in sizes.items())
            return q, k, v
        values, start, total = [], 0, sum(sizes.values())
        for name, size in sizes.items():
            part = slice(start, start + size)
            values.append(self.product(n, "attn_qkv", total, out=name, part=part))
            start += size
        q, k, v = values
        return q, k, v

    def head_norms(self, q: Value, k: Value) -> tuple[Value, Value]:
        """Queries and keys, each head normalised by itself."""
        q = self.norm(q, "attn_q_norm", parts=self.hyper.heads, out="q")
        return q, self.norm(k, "attn_k_norm", parts=self.hyper.kv_heads, out="k")

    def rotate(self, q: Value, k: Value, rotation: Rotation | None = None) -> tuple[Value, Value]:
        """Queries and keys turned by their positions; as they are, if the model does not."""
        rotation, h = rotation or self.rotation, self.hyper
        if rotation is None:
            return q, k
        q = self.plan.rope(q, h.heads, h.head_dim, rotation)
        return q, self.plan.rope(k, h.kv_heads, h.head_dim, rotation)

    def attend(
        self,
        q: Value,
        k: Value,
        v: Value,
        *,
        window: int = 0,
        softcap: float = 0.0,
        slopes: Vector | None = None,
        sinks: Vector | None = None,
    ) -> Value:
        """softmax(scale q k) v over all that the cache holds, keys and values of now included."""
        h = self.hyper
        self.plan.store(k, v, layer=self.index, heads=h.kv_heads)
        return self.plan.attention(
            q,
            layer=self.index,
            heads=h.heads,
            kv_heads=h.kv_heads,
            value_dim=h.value_dim,
            scale=h.scale,
            window=window,
            softcap=softcap,
            slopes=slopes,
            causal=self.model.causal,
            sinks=sinks,
        )

    def attention(self, n: Value, *, slopes: Vector | None = None, window: int = 0) -> Value:
        """Attention without anything between the products and the rotation."""
        q, k, v = self.queries_keys_values(n)
        return self.attend(*self.rotate(q, k), v, slopes=slopes, window=window)

    def wanted(self, *values: Value) -> tuple[Value, ...]:
        """The values, in the last block only their rows of tokens whose logits are wanted."""
        if self.index < self.hyper.blocks - 1:
            return values
        return tuple(self.plan.select(value) for value in values)

    # -------------------------------------------------------------- feed-forward

    def gated(self, n: Value, function: str, *, add_to: Value | None = None) -> Value:
        """W_down (f(W_gate n) * W_up n): GLU with SiLU or GELU. Shazeer 2020.

        Gate and up are two tensors, or the two halves of `ffn_up`.
        """
        ff = self.hyper.ff
        if self.has("ffn_gate"):
            gate = self.product(n, "ffn_gate", ff, out="gate")
            up = self.product(n, "ffn_up", ff, out="up")
        else:
            gate = self.product(n, "ffn_up", 2 * ff, out="gate", part=slice(0, ff))
            up = self.product(n, "ffn_up", 2 * ff, out="up", part=slice(ff, 2 * ff))
        return self.product(self.plan.activation(function, gate, up), "ffn_down", add_to=add_to)

    def feed_forward(self, n: Value, function: str, *, add_to: Value | None = None) -> Value:
        """W_down f(W_up n)."""
        up = self.product(n, "ffn_up", self.hyper.ff, out="up")
        return self.product(self.plan.activation(function, up), "ffn_down", add_to=add_to)

    def add(self, x: Value, y: Value, factor: float = 1.0) -> Value:
        """x + factor * y."""
        return self.plan.add(x, y, factor)


def rows_of(weight: Weight, part: slice) -> Weight:
    """Some rows of a matrix, where they stand."""
    data = weight.data[part]
    name = f"{weight.name.removesuffix('.weight')}[{part.start}:{part.stop}].weight"
    return Weight(name, weight.type, len(data), weight.columns, data)
