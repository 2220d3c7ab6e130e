"""Qwen 1: Qwen 2 with one tensor for queries, keys and values.

`feed_forward_length` counts gate and up together, so it is twice the width. Bai et al. 2023.
"""

from __future__ import annotations

from typing import Any

from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.qwen2 import Qwen2
from zigllm_cli.models.transformer import Hyperparameters


class QwenHyperparameters(Hyperparameters):
    """Half of the feed-forward length."""

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """The true width."""
        return {"ff": keys.count("feed_forward_length") // 2}


class Qwen(Qwen2):
    """Qwen 1."""

    Hyper, tied = QwenHyperparameters, "never"
