"""Normalisation of a token's values, as a whole or in equal slices (`parts`): the norm per head.

A weight [width / parts] serves every slice; one [width] has a stretch of its own for each.
"""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value, Vector


@dataclass(frozen=True, eq=False)
class RmsNorm(Operation):
    """out = x / sqrt(mean(x^2) + epsilon) * weight. Zhang and Sennrich 2019."""

    x: Value
    weight: Vector | None
    epsilon: float
    parts: int = 1


@dataclass(frozen=True, eq=False)
class LayerNorm(Operation):
    """out = (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias. Ba et al. 2016."""

    x: Value
    weight: Vector | None
    bias: Vector | None
    epsilon: float
    parts: int = 1
