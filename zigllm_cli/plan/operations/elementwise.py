"""Sums and simple functions, value by value."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value, Vector


@dataclass(frozen=True, eq=False)
class Add(Operation):
    """out += factor * x."""

    x: Value
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Scale(Operation):
    """out *= factor."""

    factor: float


@dataclass(frozen=True, eq=False)
class SoftCap(Operation):
    """out = cap * tanh(out / cap)."""

    cap: float


@dataclass(frozen=True, eq=False)
class Clamp(Operation):
    """out = min(max(out, -limit), limit)."""

    limit: float


@dataclass(frozen=True, eq=False)
class AddRow(Operation):
    """out += the row of a table that the token's position names: learned positions.

    Attributes:
        table: float32 [positions, width], or [1, width] for one row that all tokens get.
    """

    table: Vector
