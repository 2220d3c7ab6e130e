"""What every model file gives: shapes that the engine needs, and the plan."""

from __future__ import annotations

from typing import Protocol

from zigllm_cli.plan.cache import LayerShape
from zigllm_cli.plan.plan import Plan


class Architecture(Protocol):
    """A model that has been read from a file.

    Attributes:
        vocabulary: logits per token.
        context_length: positions it was trained for.
        layers: what each layer keeps of a sequence: keys and values, or a state.
    """

    vocabulary: int
    context_length: int
    layers: tuple[LayerShape, ...]

    def plan(self, context: int) -> Plan:
        """The forward pass for a context of this many positions."""
        ...
