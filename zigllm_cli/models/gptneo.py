"""GPT-Neo: GPT-2 with scores that are not scaled, and layers that see a sliding window only.

There is no convention for its GGUF files. Read are those with GPT-2's tensors (queries, keys and
values apart) and the keys `attention.scale` (1), `attention.sliding_window` and
`attention.sliding_window_pattern`. Black et al. 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.gpt2 import GPT2
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters
from zigllm_cli.plan.operations import Value


@dataclass(frozen=True)
class GPTNeoHyperparameters(Hyperparameters):
    """What is particular to GPT-Neo.

    Attributes:
        window: positions that a local layer sees, itself included.
        local: which layers are local.
    """

    window: int
    local: tuple[bool, ...]

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """The scale is 1 where the file says nothing."""
        blocks = keys.count("block_count", most=10_000)
        return {
            "scale": keys.number("attention.scale", 1.0),
            "window": keys.count("attention.sliding_window", 256),
            "local": keys.local_layers("attention.sliding_window_pattern", blocks, 1),
        }


class GPTNeo(GPT2):
    """GPT-Neo."""

    Hyper = GPTNeoHyperparameters
    hyper: GPTNeoHyperparameters

    def attention(self, b: Block, n: Value) -> Value:
        """Over everything before, or the last positions of it."""
        return b.attention(n, window=self.hyper.window if self.hyper.local[b.index] else 0)
