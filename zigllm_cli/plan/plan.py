"""The builder: a model file calls it once, in the order of the forward pass.

x = plan.embed(tensors.token_embd)
h = plan.rms_norm(x, layer.attn_norm, epsilon)
q = plan.product(layer.attn_q, h, "q")
...
"""

from __future__ import annotations

from typing import Any

from zigllm_cli.plan.mixtures import SpecialSteps
from zigllm_cli.plan.operations import (
    Activation,
    Add,
    AddRow,
    Attention,
    Clamp,
    Embed,
    LayerNorm,
    Operation,
    Product,
    RmsNorm,
    Rope,
    Rotation,
    Scale,
    Select,
    SoftCap,
    StoreCache,
    Value,
    Vector,
    Weight,
)


class Plan(SpecialSteps):
    """Operations in order, and the values that they read and write.

    Attributes:
        operations: all of them.
        hidden: the last hidden states, which embeddings are made of, once `finish` was called.
        logits: of the next token; None for an encoder.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.hidden: Value | None = None
        self.logits: Value | None = None

    def embed(self, table: Weight, scale: float = 1.0) -> Value:
        """The tokens' rows of the embedding table."""
        out = Value("x", table.columns)
        self.operations.append(Embed(out, "embed", table, scale))
        return out

    def rms_norm(
        self, x: Value, weight: Vector | None, epsilon: float, *, parts: int = 1, name: str = "h"
    ) -> Value:
        """RMSNorm of each row, or of `parts` slices of it."""
        out = Value(name, x.width, x.head)
        self.operations.append(RmsNorm(out, "norm", x, weight, epsilon, parts))
        return out

    def layer_norm(
        self,
        x: Value,
        weight: Vector | None,
        bias: Vector | None,
        epsilon: float,
        *,
        parts: int = 1,
        name: str = "h",
    ) -> Value:
        """LayerNorm of each row, or of `parts` slices of it."""
        out = Value(name, x.width, x.head)
        self.operations.append(LayerNorm(out, "norm", x, weight, bias, epsilon, parts))
        return out

    def product(
        self,
        weight: Weight,
        x: Value,
        name: str,
        *,
        bias: Vector | None = None,
        add_to: Value | None = None,
    ) -> Value:
        """W x (+ bias), into a value of this name or added to an existing one."""
        if add_to is not None:
            out = Value(add_to.name, weight.rows, add_to.head)
        else:
            out = Value(name, weight.rows, x.head)
        label = weight.name.removesuffix(".weight").split(".")[-1]
        self.operations.append(Product(out, label, weight, x, bias, add_to is not None))
        return out

    def rope(self, x: Value, heads: int, head_dim: int, rotation: Rotation) -> Value:
        """Rotate every head by its token's position."""
        out = Value(x.name, x.width, x.head)
        self.operations.append(Rope(out, "rope", heads, head_dim, rotation))
        return out

    def store(self, keys: Value, values: Value, *, layer: int, heads: int) -> None:
        """Write keys and values to the cache."""
        key_dim, value_dim = keys.width // heads, values.width // heads
        ropes = [op for op in self.operations if isinstance(op, Rope) and op.out is keys]
        rotation = ropes[0].rotation if ropes else None
        out = Value(keys.name, keys.width)
        self.operations.append(
            StoreCache(out, "store", values, layer, heads, key_dim, value_dim, rotation)
        )

    @property
    def rotations(self) -> list[Rotation | None]:
        """By what each layer's keys are rotated, in the order of the layers."""
        stores = [op for op in self.operations if isinstance(op, StoreCache)]
        return [op.rotation for op in sorted(stores, key=lambda op: op.layer)]

    def attention(
        self,
        q: Value,
        *,
        layer: int,
        heads: int,
        kv_heads: int,
        value_dim: int,
        scale: float,
        window: int = 0,
        softcap: float = 0.0,
        slopes: Vector | None = None,
        causal: bool = True,
        sinks: Vector | None = None,
    ) -> Value:
        """Attention over what the layer's cache holds, this batch included."""
        out = Value("attention", heads * value_dim)
        op = Attention(
            *(out, "attention", q, layer, heads, kv_heads, q.width // heads, value_dim, scale),
            window=window,
            softcap=softcap,
            slopes=slopes,
            causal=causal,
            sinks=sinks,
        )
        self.operations.append(op)
        return out

    def activation(self, function: str, gate: Value, up: Value | None = None) -> Value:
        """f(gate) * up."""
        out = Value(gate.name, gate.width, gate.head)
        self.operations.append(Activation(out, function, function, gate, up))
        return out

    def select(self, x: Value) -> Value:
        """Keep only the rows whose logits are wanted; a no-op on what is selected already."""
        if x.head:
            return x
        out = Value(f"{x.name}.head", x.width, head=True)
        self.operations.append(Select(out, "select", x))
        return out

    def add(self, to: Value, x: Value, factor: float = 1.0) -> Value:
        """to + factor * x, where `to` stands."""
        return self._in_place(to, Add, "add", x, factor)

    def add_row(self, to: Value, table: Vector) -> Value:
        """`to` plus its position's row of a table, or the only row of it."""
        return self._in_place(to, AddRow, "positions", table)

    def scale(self, x: Value, factor: float) -> Value:
        """factor * x, where x stands; x itself for 1."""
        return x if factor == 1 else self._in_place(x, Scale, "scale", factor)

    def soft_cap(self, x: Value, cap: float) -> Value:
        """cap * tanh(x / cap), where x stands; x itself for 0."""
        return x if cap == 0 else self._in_place(x, SoftCap, "soft_cap", cap)

    def clamp(self, x: Value, limit: float) -> Value:
        """x within -limit and limit, where x stands; x itself for 0."""
        return x if limit == 0 else self._in_place(x, Clamp, "clamp", limit)

    def _in_place(self, x: Value, kind: Any, label: str, *settings: Any) -> Value:
        out = Value(x.name, x.width, x.head)
        self.operations.append(kind(out, label, *settings))
        return out

    @property
    def causal(self) -> bool:
        """Whether a token sees only those before it, so that what is computed of them stays."""
        return all(op.causal for op in self.operations if isinstance(op, Attention))

    @property
    def result(self) -> Value:
        """What a step gives out: logits, or hidden states where there are none."""
        result = self.logits or self.hidden
        assert result is not None, "the plan is not finished"
        return result

    def finish(self, hidden: Value, logits: Value | None = None) -> None:
        """Declare the results."""
        assert hidden.head, "results are computed for selected rows only"
        self.hidden, self.logits = hidden, logits

    def without_logits(self) -> Plan:
        """The operations up to the hidden states, whose last one is their norm."""
        assert self.hidden is not None
        last = [op.out for op in self.operations].index(self.hidden)
        plan = Plan()
        plan.operations, plan.hidden = self.operations[: last + 1], self.hidden
        return plan
