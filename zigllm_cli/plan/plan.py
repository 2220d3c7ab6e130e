"""The builder: a model file calls it once, in the order of the forward pass.

x = plan.embed(tensors.token_embd)
h = plan.rms_norm(x, layer.attn_norm, epsilon)
q = plan.product(layer.attn_q, h, "q")
...
"""

from __future__ import annotations

from zigllm_cli.plan.operations import (
    Activation,
    Attention,
    Embed,
    Operation,
    Product,
    RmsNorm,
    Rope,
    Rotation,
    Select,
    StoreCache,
    Value,
    Vector,
    Weight,
)


class Plan:
    """Operations in order, and the values that they read and write.

    Attributes:
        operations: all of them.
        logits: what the last one wrote, once `finish` was called.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.logits: Value | None = None

    def embed(self, table: Weight, scale: float = 1.0) -> Value:
        """The tokens' rows of the embedding table."""
        out = Value("x", table.columns)
        self.operations.append(Embed(out, "embed", table, scale))
        return out

    def rms_norm(
        self, x: Value, weight: Vector | None, epsilon: float, *, parts: int = 1, name: str = "h"
    ) -> Value:
        """RMSNorm of each row, or of `parts` slices of it with the same weight."""
        out = Value(name, x.width, x.head)
        self.operations.append(RmsNorm(out, "norm", x, weight, epsilon, parts))
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
    ) -> Value:
        """Attention over what the layer's cache holds, this batch included."""
        out = Value("attention", heads * value_dim)
        shape = (layer, heads, kv_heads, q.width // heads, value_dim)
        self.operations.append(Attention(out, "attention", q, *shape, scale, window, softcap))
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

    def finish(self, logits: Value) -> None:
        """Declare the result."""
        assert logits.head, "logits are computed for selected rows only"
        self.logits = logits
