"""Rotary position embedding."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation


@dataclass(frozen=True)
class Rotation:
    """Rotary position embedding: by which angles, and how dimensions are paired.

    Attributes:
        pairing: "norm" (2i, 2i+1) or "neox" (i, i + dimensions/2).
        dimensions: of each head that are rotated; the rest is not.
        frequencies: float64 [dimensions / 2], radians per position, every scaling included.
        magnitude: factor of the cosines and sines (YaRN, longrope).
        start: the first rotated dimension.
    """

    pairing: str
    dimensions: int
    frequencies: tuple[float, ...]
    magnitude: float = 1.0
    start: int = 0


@dataclass(frozen=True, eq=False)
class Rope(Operation):
    """Heads of `out` rotated in place by the tokens' positions."""

    heads: int
    head_dim: int
    rotation: Rotation
