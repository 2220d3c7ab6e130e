"""OLMoE: queries and keys normalised as a whole, and many small experts.

    per block:  x += W_o attention(rope(RMSNorm(W_q n)), rope(RMSNorm(W_k n)), W_v n)
                x += sum over the chosen e of p_e expert_e(n)       p = softmax(W_router n)

each n = RMSNorm(x). Muennighoff et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.experts import ExpertSettings, mixture
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Value


@dataclass(frozen=True)
class OlmoeHyperparameters(Hyperparameters):
    """With experts in every block."""

    experts: ExpertSettings

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """The width of the feed-forward layer is that of an expert."""
        ff = keys.count("feed_forward_length")
        return {"experts": ExpertSettings.read(keys, normalise=False, ff=ff)}


class Olmoe(Transformer):
    """OLMoE."""

    norm, pairing, tied = "rms", "neox", "never"
    Hyper = OlmoeHyperparameters
    hyper: OlmoeHyperparameters

    def block(self, b: Block, x: Value) -> Value:
        """Attention with normalised queries and keys, then the experts."""
        q, k, v = b.queries_keys_values(b.norm(x, "attn_norm"))
        q, k = b.norm(q, "attn_q_norm", out="q"), b.norm(k, "attn_k_norm", out="k")
        a, x = b.wanted(b.attend(*b.rotate(q, k), v), x)
        x = b.product(a, "attn_output", add_to=x)
        return mixture(b, b.norm(x, "ffn_norm"), self.hyper.experts, add_to=x)
