"""GPT-NeoX, Pythia, RedPajama-INCITE, Dolly: biases everywhere, partly rotated heads.

    parallel:    x += W_o attention(n) + W_down gelu(W_up m)      n = LN(x), m = LN_2(x)
    sequential:  x += W_o attention(n);  x += W_down gelu(W_up m)      m = LN_2 of the new x

GELU by erf; the key `use_parallel_residual` chooses. Black et al. 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.transformer import Hyperparameters, Transformer
from zigllm_cli.plan.operations import Value


@dataclass(frozen=True)
class GPTNeoXHyperparameters(Hyperparameters):
    """What is particular to GPT-NeoX.

    Attributes:
        parallel: whether both branches read the same x.
    """

    parallel: bool

    @classmethod
    def own(cls, keys: Keys) -> dict[str, Any]:
        """The key must be there."""
        return {"parallel": keys.flag("use_parallel_residual")}


class GPTNeoX(Transformer):
    """GPT-NeoX, Pythia, Dolly, RedPajama-INCITE."""

    norm, pairing, tied = "layer", "neox", "never"
    Hyper = GPTNeoXHyperparameters
    hyper: GPTNeoXHyperparameters

    def block(self, b: Block, x: Value) -> Value:
        """The norm of the feed-forward comes before or behind the first sum."""
        a, x = b.wanted(b.attention(b.norm(x, "attn_norm")), x)
        if self.hyper.parallel:
            n = b.norm(x, "ffn_norm")
            x = b.product(a, "attn_output", add_to=x)
        else:
            x = b.product(a, "attn_output", add_to=x)
            n = b.norm(x, "ffn_norm")
        return b.feed_forward(n, "gelu_erf", add_to=x)
