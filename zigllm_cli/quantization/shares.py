"""How much of a matrix's noise reaches the logits, before anything is known but the model's shape.

A residual model of n layers sums up 2 n branches, an attention and a feed-forward network of each.
Where they are of like size, noise in one of them is 1 / (2 n) as strong behind the last layer,
while that of the output matrix is not weakened by anything. In a branch, noise of queries, keys
and attention's output counts half of what that of the others does.

Measured on a trained model of five layers (stories260K): one
tensor at a time in Q4_0, KL divergence by noise is 8.4 for the output, 1.1 to 2.1 for gate and up,
0.7 to 2.0 for values, 0.1 to 1.4 for queries and attention's output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zigllm_cli.quantization.mixes import EMBEDDINGS, OUTPUT

BLOCK = re.compile(r"blk\.(\d+)\.")
WEAK = ("attn_q.weight", "attn_k.weight", "attn_output.weight")
WEAKER = 0.5


def shares(names: Iterable[str]) -> dict[str, float]:
    """By the name of a tensor, the part of its noise that the logits have."""
    names = list(names)
    blocks = {match[1] for name in names if (match := BLOCK.match(name))}
    branch = 1 / max(2 * len(blocks), 1)
    tied = OUTPUT not in names

    def share(name: str) -> float:
        if name == OUTPUT or (tied and name in EMBEDDINGS):
            return 1.0
        return branch * (WEAKER if name.endswith(WEAK) else 1)

    return {name: share(name) for name in names}
