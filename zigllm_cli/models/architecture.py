"""What every model file gives: shapes that the engine needs, and the plan."""

from __future__ import annotations

from typing import Protocol

from zigllm_cli.plan.cache import CacheShape
from zigllm_cli.plan.plan import Plan


class Architecture(Protocol):
    """A model that has been read from a file.

    Attributes:
        vocabulary: logits per token.
        context_length: positions it was trained for.
        layers: the cache of each layer that attends.
    """

    vocabulary: int
    context_length: int
    layers: tuple[CacheShape, ...]

    def plan(self, context: int) -> Plan:
        """The forward pass for a context of this many positions."""
        ...
