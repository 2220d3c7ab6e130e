"""Which rows of values go on."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value


@dataclass(frozen=True, eq=False)
class Select(Operation):
    """The rows of x whose logits are wanted."""

    x: Value
