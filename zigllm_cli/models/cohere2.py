"""Command R7B and Command A (Cohere 2): three layers of four rotate and see a sliding window.

The fourth sees everything and has no positions (NoPE); the rest is Command R. Cohere 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.command_r import CommandR, CommandRHyperparameters
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.plan.operations import Value


@dataclass(frozen=True)
class Cohere2Hyperparameters(CommandRHyperparameters):
    """What is particular to Cohere 2.

    Attributes:
        window: positions that a local layer sees, itself included.
        local: which layers are local.
    """

    window: int
    local: tuple[bool, ...]

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """The window must be there."""
        blocks = keys.count("block_count", most=10_000)
        return {
            **super().own(keys),
            "window": keys.count("attention.sliding_window"),
            "local": keys.local_layers("attention.sliding_window_pattern", blocks, 4),
        }


class Cohere2(CommandR):
    """Command R7B, Command A."""

    Hyper = Cohere2Hyperparameters
    hyper: Cohere2Hyperparameters

    def attention(self, b: Block, n: Value) -> Value:
        """With positions and a window, or without both."""
        q, k, v = b.queries_keys_values(n)
        if self.hyper.local[b.index]:
            return b.attend(*b.rotate(q, k), v, window=self.hyper.window)
        return b.attend(q, k, v)
