"""What changes from step to step of a plan: one block of 64-bit words that all kernels read.

A plan's argument blocks are written once; each names the address of this block as `state`. A
batch is a list of tokens, each with its position, the slot of its sequence in the cache, and the
end of what it may see: token i attends to cache positions

    max(0, position - window + 1) <= k < end        (no window: from 0)

of its own sequence; a causal model has end = position + 1. The constants are word numbers:
a kernel reads `load_i64(state + 8 * POSITIONS)`.
"""

from __future__ import annotations

TOKENS = 0
"""Number of tokens n of the batch."""

OUTPUTS = 1
"""Number of tokens whose logits are wanted."""

IDS = 2
"""Address of token ids, int64 [n]."""

POSITIONS = 3
"""Address of positions in their sequences, int64 [n]."""

SEQUENCES = 4
"""Address of sequence slots of the cache, int64 [n]."""

ENDS = 5
"""Address of the first position that a token does not see, int64 [n]."""

OUTPUT_TOKENS = 6
"""Address of the output rows' token indices, int64 [number of outputs]."""

SCRATCH = 7
"""Address of memory that an operation may use and leave to the next."""

WORDS = 8
"""Words of the block."""
