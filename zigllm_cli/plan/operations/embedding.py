"""From tokens to the first values."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Weight


@dataclass(frozen=True, eq=False)
class Embed(Operation):
    """out = rows of the embedding table * scale."""

    weight: Weight
    scale: float = 1.0
