"""Operations on the heads of a value: parts of each, put together anew, or each times a matrix."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value
from zigllm_cli.plan.operations.experts import Stack


@dataclass(frozen=True, eq=False)
class Slice(Operation):
    """out = floats `start` .. `start` + out's of each of x's heads."""

    x: Value
    heads: int
    start: int


@dataclass(frozen=True, eq=False)
class Join(Operation):
    """out = each of x's heads with one of y's behind it; y may have a single one for all."""

    x: Value
    y: Value
    heads: int


@dataclass(frozen=True, eq=False)
class HeadProduct(Operation):
    """out = W_h x_h of each head."""

    weight: Stack
    x: Value
