"""gpt-oss: attention with sinks, a window in every other layer, experts with a clamped SwiGLU.

    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n) + b_o
                x += sum over the chosen e of p_e (W_down_e swiglu(g_e, u_e) + b_e)

    g, u = W_gate_e n + b, W_up_e n + b
    swiglu = g sigmoid(1.702 g) (u + 1), g at most 7, u from -7 to 7

A sink is one more score in each head's softmax, without a value. p is the softmax over the logits
of the chosen experts. Each n = RMSNorm(x). OpenAI 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.experts import ExpertSettings, mixture
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Rotation, Value


@dataclass(frozen=True)
class GptOssHyperparameters(Hyperparameters):
    """What is particular to gpt-oss.

    Attributes:
        window: positions that a local layer sees, itself included.
        local: which layers are local.
    """

    window: int
    local: tuple[bool, ...]
    experts: ExpertSettings

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """Even layers are local where nothing else is said."""
        blocks = keys.count("block_count", most=10_000)
        return {
            "window": keys.count("attention.sliding_window"),
            "local": keys.local_layers("attention.sliding_window_pattern", blocks, 2),
            "experts": ExpertSettings.read(
                keys, normalise=False, scores="softmax_chosen", activation="swiglu_clamped"
            ),
        }


class GptOss(Transformer):
    """gpt-oss 20B and 120B."""

    norm, pairing, tied = "rms", "neox", "never"
    Hyper = GptOssHyperparameters
    hyper: GptOssHyperparameters

    def rotation(self, context: int) -> Rotation | None:
        """YaRN's ramp between fractions of pairs, as the model was trained."""
        assert self.hyper.rope is not None
        return self.hyper.rope.rotation("neox", None, whole_pairs=False)

    def block(self, b: Block, x: Value) -> Value:
        """Attention with sinks, then the experts."""
        h = self.hyper
        sinks = self.tensors.vector(f"blk.{b.index}.attn_sinks.weight", h.heads)
        q, k, v = b.queries_keys_values(b.norm(x, "attn_norm"))
        window = h.window if h.local[b.index] else 0
        a, x = b.wanted(b.attend(*b.rotate(q, k), v, window=window, sinks=sinks), x)
        x = b.product(a, "attn_output", add_to=x)
        return mixture(b, b.norm(x, "post_attention_norm"), h.experts, add_to=x)
