"""The non-linear functions of feed-forward blocks."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value


@dataclass(frozen=True, eq=False)
class Activation(Operation):
    """out = f(gate) * up, or f(gate) without `up`; f by name: silu, gelu, ..."""

    function: str
    gate: Value
    up: Value | None
