"""State-space models: what a sequence remembers is a state of fixed size instead of a cache."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value, Vector


@dataclass(frozen=True, eq=False)
class ShortConvolution(Operation):
    """out = silu(sum over taps of weight * x, that many tokens ago, + bias), channel by channel.

    Attributes:
        weight: float32 [taps, channels]; the last tap is the token's own.
        layer, part: whose state keeps the last taps - 1 tokens' x.
    """

    x: Value
    weight: Vector
    bias: Vector | None
    layer: int
    part: int


@dataclass(frozen=True, eq=False)
class SelectiveScan(Operation):
    """h = exp(delta A) h + (delta x) B;  out = C . h + D x, for every channel.

    Attributes:
        delta: [channels], or [heads].
        b, c: [groups * states]; head h is of group h * groups / heads.
        a: float32 [channels, states], or [heads]; negative.
        d: float32 [channels], or [heads].
        heads: 1 where delta and a are given per channel.
        layer, part: whose state keeps h.
    """

    x: Value
    delta: Value
    b: Value
    c: Value
    a: Vector
    d: Vector
    heads: int
    groups: int
    states: int
    layer: int
    part: int

    @property
    def per_channel(self) -> bool:
        """Whether every channel has its own decay."""
        return self.a.ndim == 2
