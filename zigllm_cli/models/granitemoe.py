"""Granite 3 MoE: Granite's block with experts in place of the layer, and in some a shared one.

    x += residual_scale * (sum over the chosen e of p_e expert_e(n) + shared(n))

p = softmax(W_router n), divided by the sum of the chosen. IBM 2024.
"""

from __future__ import annotations

from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.block import Block
from zigllm_cli.models.experts import ExpertSettings, mixture, shared_expert
from zigllm_cli.models.granite import Granite
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.plan.operations import Value


class GraniteMoe(Granite):
    """Granite 3 MoE.

    Attributes:
        experts: of every block, each as wide as the single layer would be.
    """

    def __init__(self, file: GGUFFile) -> None:
        super().__init__(file)
        keys = Keys(file)
        shared = keys.count("expert_shared_feed_forward_length", 0)
        self.experts = ExpertSettings.read(keys, normalise=True, ff=self.hyper.ff, shared_ff=shared)

    def feed_forward(self, b: Block, n: Value) -> Value:
        """The experts, and the shared one if there is one."""
        y = mixture(b, n, self.experts)
        return shared_expert(b, n, self.experts, add_to=y) if self.experts.shared_ff else y
