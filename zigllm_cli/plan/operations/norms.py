"""Normalisation of a token's values."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value, Vector


@dataclass(frozen=True, eq=False)
class RmsNorm(Operation):
    """out = x / sqrt(mean(x^2) + epsilon) * weight, over each of `parts` equal slices."""

    x: Value
    weight: Vector | None
    epsilon: float
    parts: int = 1
