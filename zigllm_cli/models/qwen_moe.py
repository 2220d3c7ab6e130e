"""Qwen 2 MoE and Qwen 3 MoE: the blocks of Qwen 2 and Qwen 3, with experts behind the attention.

    Qwen 2:  x += sum over the chosen e of p_e expert_e(n)          p = softmax(W_router n)
             x += sigmoid(w . n) shared(n)
    Qwen 3:  the same without the shared expert, p divided by the sum of the chosen

each n = RMSNorm(x). Qwen team 2024; Yang et al. 2025.
"""

from __future__ import annotations

from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.block import Block
from zigllm_cli.models.experts import ExpertSettings, mixture, shared_expert
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.qwen2 import Qwen2
from zigllm_cli.models.qwen3 import Qwen3
from zigllm_cli.plan.operations import Value


def expert_width(keys: Keys) -> int:
    """As said; else the single layer's width, shared among the experts in use."""
    ff, used = keys.count("feed_forward_length"), keys.count("expert_used_count")
    return keys.count("expert_feed_forward_length", max(ff // used, 1))


class Qwen2Moe(Qwen2):
    """Qwen 1.5 MoE, Qwen 2 57B-A14B."""

    tied = "never"
    experts: ExpertSettings

    def expert_settings(self, keys: Keys) -> ExpertSettings:
        """Weights as the softmax over all experts has them."""
        shared = keys.count("expert_shared_feed_forward_length", self.hyper.ff)
        return ExpertSettings.read(keys, normalise=False, ff=expert_width(keys), shared_ff=shared)

    def feed_forward(self, b: Block, n: Value, x: Value) -> Value:
        """x + the experts, the shared one with a gate of its own."""
        x = mixture(b, n, self.experts, add_to=x)
        return shared_expert(b, n, self.experts, add_to=x)


class Qwen3Moe(Qwen3):
    """Qwen 3 30B-A3B and 235B-A22B.

    Attributes:
        experts: of every block; the weights of a token's experts add up to 1.
    """

    def __init__(self, file: GGUFFile) -> None:
        super().__init__(file)
        keys = Keys(file)
        self.experts = ExpertSettings.read(keys, normalise=True, ff=expert_width(keys))

    def feed_forward(self, b: Block, n: Value, x: Value) -> Value:
        """x + the experts."""
        return mixture(b, n, self.experts, add_to=x)
