"""The part of the builder for mixtures of experts, for states, and for heads one by one."""

from __future__ import annotations

import numpy as np

from zigllm_cli.plan.operations import (
    ExpertProduct,
    HeadProduct,
    Join,
    Operation,
    Route,
    Routing,
    SelectiveScan,
    ShortConvolution,
    Slice,
    Stack,
    Value,
    Vector,
    WeightedSum,
)


class SpecialSteps:
    """Steps that only some families take.

    Attributes:
        operations: of the plan, in order.
    """

    operations: list[Operation]

    # -------------------------------------------------------------- experts

    def route(self, logits: Value, routing: Routing, bias: Vector | None = None) -> Route:
        """Choose experts; the weights are its `out`."""
        route = Route(Value("routes", routing.used, logits.head), "route", logits, routing, bias)
        self.operations.append(route)
        return route

    def expert_product(
        self, weight: Stack, x: Value, route: Route, name: str, *, bias: Vector | None = None
    ) -> Value:
        """W x (+ bias) of each chosen expert: as many parts as a token has experts."""
        out = Value(name, route.routing.used * weight.rows, x.head)
        label = weight.name.removesuffix(".weight").split(".")[-1]
        self.operations.append(ExpertProduct(out, label, weight, x, route, bias))
        return out

    def weighted_sum(
        self, y: Value, weights: Value, *, add_to: Value | None = None, route: Route | None = None
    ) -> Value:
        """The sum of y's parts, each times its weight, added to a value if there is one."""
        name = add_to.name if add_to else "y"
        out = Value(name, y.width // weights.width, y.head)
        add = add_to is not None
        self.operations.append(WeightedSum(out, "sum", y, weights, route, add))
        return out

    # -------------------------------------------------------------- states

    def short_convolution(
        self, x: Value, weight: Vector, bias: Vector | None, *, layer: int, part: int
    ) -> Value:
        """silu(convolution of x over time), with weight [taps, channels]."""
        out, weight = Value(x.name, x.width), np.ascontiguousarray(weight)
        self.operations.append(ShortConvolution(out, "convolution", x, weight, bias, layer, part))
        return out

    def selective_scan(
        self,
        x: Value,
        delta: Value,
        b: Value,
        c: Value,
        *,
        a: Vector,
        d: Vector,
        heads: int = 1,
        groups: int = 1,
        layer: int,
        part: int,
    ) -> Value:
        """The state-space recurrence of x."""
        out, states = Value(x.name, x.width), b.width // groups
        a, d = np.ascontiguousarray(a), np.ascontiguousarray(d)
        shape = (heads, groups, states, layer, part)
        self.operations.append(SelectiveScan(out, "scan", x, delta, b, c, a, d, *shape))
        return out

    # -------------------------------------------------------------- heads

    def head_slice(self, x: Value, heads: int, start: int, size: int, name: str) -> Value:
        """Floats start .. start + size of each head."""
        out = Value(name, heads * size, x.head)
        self.operations.append(Slice(out, "slice", x, heads, start))
        return out

    def head_join(
        self, x: Value, y: Value, heads: int, name: str, *, shared: bool = False
    ) -> Value:
        """Each of x's heads with one of y's behind it, or (`shared`) all of y behind each."""
        out = Value(name, x.width + (heads * y.width if shared else y.width), x.head)
        self.operations.append(Join(out, "join", x, y, heads))
        return out

    def head_product(self, weight: Stack, x: Value, name: str) -> Value:
        """Each head's own matrix times the head."""
        out = Value(name, len(weight.matrices) * weight.rows, x.head)
        label = weight.name.removesuffix(".weight").split(".")[-1]
        self.operations.append(HeadProduct(out, label, weight, x))
        return out
