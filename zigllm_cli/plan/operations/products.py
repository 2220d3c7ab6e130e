"""Matrices of the file times the values of every token."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value, Vector, Weight


@dataclass(frozen=True, eq=False)
class Product(Operation):
    """out = W x (+ bias) (+ what `out` held, if `add`)."""

    weight: Weight
    x: Value
    bias: Vector | None = None
    add: bool = False
