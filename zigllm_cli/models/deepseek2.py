"""DeepSeek V2, V3 and R1, Kimi K2: latent attention, and experts behind a few dense blocks.

Keys and values of all heads are made of one short vector c per token; position is carried by a few
more dimensions, k_pe, which all heads share:

    [c | k_pe] = W_kv_a n          c = RMSNorm(c)
    k_h = [W_k_h c | rope(k_pe)]   v_h = W_v_h c
    q_h = [q_nope_h | rope(q_pe_h)]   from W_q n, or W_q_b RMSNorm(W_q_a n)
    x += W_o attention(q, k, v)

Files with `attn_k_b` keep W_k and W_v apart, and only c and k_pe are cached: W_k moves to the
query, (W_k c) . q = c . (W_k^T q), and W_v behind the attention. Older ones have both in
`attn_kv_b`, and heads are cached in full.

    x += shared(n) + factor * sum over the chosen e of p_e expert_e(n)

DeepSeek-AI 2024 (arXiv 2405.04434, 2412.19437).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Any

from zigllm_cli.errors import InputError
from zigllm_cli.models.block import Block
from zigllm_cli.models.experts import ExpertSettings, mixture, shared_expert
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Rotation, Value


@dataclass(frozen=True)
class DeepSeek2Hyperparameters(Hyperparameters):
    """What is particular to DeepSeek.

    Attributes:
        rank, query_rank: floats of c, and of what queries are made of; 0 for n itself.
        nope: dimensions of a head that carry no position.
        positional: dimensions that do.
        value: floats of a head's values.
        absorbed: whether the file keeps W_k and W_v apart.
        dense: blocks without experts, from the first on.
        magnitude: factor of cosines and sines.
    """

    rank: int
    query_rank: int
    nope: int
    positional: int
    value: int
    absorbed: bool
    dense: int
    magnitude: float
    experts: ExpertSettings

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """Sizes of the heads before and behind the short vector, and YaRN's two magnitudes."""
        absorbed = keys.count("attention.key_length_mla", 0) > 0
        end = "_mla" if absorbed else ""
        head = keys.count(f"attention.key_length{end}")
        positional = keys.count("rope.dimension_count")
        if positional >= head:
            raise InputError(f"rope.dimension_count is {positional}: heads have only {head} values")
        expert_ff = keys.count("expert_feed_forward_length")
        turned, scores = _magnitudes(keys)
        return {
            "rank": keys.count("attention.kv_lora_rank"),
            "query_rank": keys.count("attention.q_lora_rank", 0),
            "nope": head - positional,
            "positional": positional,
            "value": keys.count(f"attention.value_length{end}"),
            "absorbed": absorbed,
            "dense": keys.count("leading_dense_block_count", 0),
            "magnitude": turned,
            "scale": scores / sqrt(head),
            "experts": ExpertSettings.read(
                keys,
                normalise=False,
                ff=expert_ff,
                shared_ff=expert_ff * keys.count("expert_shared_count", 0),
            ),
        }


def _magnitudes(keys: Keys) -> tuple[float, float]:
    """YaRN's factors: of cosines and sines, and of the scores (Peng et al. 2023).

    The file has a tenth of the model's `mscale_all_dim`; where that is not 0, it moves the growth
    of the angles' magnitude to the scores.
    """
    if keys.text("rope.scaling.type", "linear", ("none", "linear", "yarn", "longrope")) != "yarn":
        return 1.0, 1.0
    growth = 0.1 * log(max(keys.number("rope.scaling.factor", 1.0), 1.0))
    all_dimensions = 10 * keys.number("rope.scaling.yarn_log_multiplier", 0.0, positive=False)
    turned = 1.0 if all_dimensions else 1.0 + growth
    return turned, (turned * (1.0 + all_dimensions * growth)) ** 2


class DeepSeek2(Transformer):
    """DeepSeek V2, V3 and R1, Kimi K2."""

    norm, pairing = "rms", "norm"
    Hyper = DeepSeek2Hyperparameters
    hyper: DeepSeek2Hyperparameters

    def rotation(self, context: int) -> Rotation | None:
        """The last dimensions of each head are turned."""
        h, rotation = self.hyper, super().rotation(context)
        assert rotation is not None
        assert h.rope is not None
        start = h.rank if h.absorbed else h.nope
        return replace(rotation, magnitude=h.magnitude * h.rope.magnitude, start=start)

    def block(self, b: Block, x: Value) -> Value:
        """Latent attention, then a gated layer or the experts."""
        h, n = self.hyper, b.norm(x, "attn_norm")
        attention = self.among_latents if h.absorbed else self.among_heads
        a, x = b.wanted(attention(b, self.queries(b, n), *self.latents(b, n)), x)
        x = b.product(a, "attn_output", add_to=x)
        n = b.norm(x, "ffn_norm")
        if b.index < h.dense:
            return b.gated(n, "silu", add_to=x)
        if h.experts.shared_ff:
            x = shared_expert(b, n, h.experts, add_to=x)
        return mixture(b, n, h.experts, add_to=x)

    def queries(self, b: Block, n: Value) -> Value:
        """All heads' queries."""
        h = self.hyper
        size = h.heads * (h.nope + h.positional)
        if not h.query_rank:
            return b.product(n, "attn_q", size, out="q")
        q = b.product(n, "attn_q_a", h.query_rank, out="q_a")
        return b.product(b.norm(q, "attn_q_a_norm", out="q_a"), "attn_q_b", size, out="q")

    def latents(self, b: Block, n: Value) -> tuple[Value, Value]:
        """c and k_pe."""
        h, name = self.hyper, "attn_kv_a_mqa"
        size = h.rank + h.positional
        c = b.product(n, name, size, out="c", part=slice(0, h.rank))
        k_pe = b.product(n, name, size, out="k_pe", part=slice(h.rank, size))
        return b.norm(c, "attn_kv_a_norm", out="c"), k_pe

    def among_latents(self, b: Block, q: Value, c: Value, k_pe: Value) -> Value:
        """Queries moved into the space of c, which is key and value of all heads."""
        h, t, plan, name = self.hyper, self.tensors, b.plan, f"blk.{b.index}."
        w_k = t.stack(name + "attn_k_b.weight", h.rank, h.nope, h.heads)
        w_v = t.stack(name + "attn_v_b.weight", h.value, h.rank, h.heads)
        q_nope = plan.head_slice(q, h.heads, 0, h.nope, "q_nope")
        q_pe = plan.head_slice(q, h.heads, h.nope, h.positional, "q_pe")
        q = plan.head_join(plan.head_product(w_k, q_nope, "q_c"), q_pe, h.heads, "q_all")
        a = b.attend(*b.rotate(q, plan.head_join(c, k_pe, 1, "k")), c)
        return plan.head_product(w_v, a, "a")

    def among_heads(self, b: Block, q: Value, c: Value, k_pe: Value) -> Value:
        """Keys and values of every head in full."""
        h, plan = self.hyper, b.plan
        both = b.product(c, "attn_kv_b", h.heads * (h.nope + h.value), out="kv")
        k = plan.head_slice(both, h.heads, 0, h.nope, "k_nope")
        v = plan.head_slice(both, h.heads, h.nope, h.value, "v")
        k = plan.head_join(k, k_pe, h.heads, "k", shared=True)
        return b.attend(*b.rotate(q, k), v)
