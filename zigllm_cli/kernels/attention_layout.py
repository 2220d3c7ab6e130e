"""What the kernels of attention share: their arguments, and what they leave for each other.

    args  0 q (f32 [n, heads * dim])    1 bytes from token to token
          2 out (f32 [n, heads * value dim])  3 bytes from token to token
          4 query heads                 5 heads of keys
          6 head dim                    7 value dim (both at most `MAX_DIM`)
          8 cache of keys               9 bytes from sequence to sequence, 10 from head to head
         11 cache of values            12 bytes from sequence to sequence, 13 from head to head
         14 scale (float64)            15 soft cap of the scores (float64) or 0
         16 window (positions) or 0    17 ALiBi slopes (f32 [heads]) or 0
         18 sinks (f32 [heads]: one more score per head, without a value) or 0
         19 state                      20 chunk (positions, a multiple of 64; decoding only)

When decoding, the positions that a token sees are cut at multiples of a chunk. Each head of each
chunk of each token leaves one partial result in the scratch memory that the state names, in the
order token, chunk, head:

    f32 maximum, f32 sum, then at byte 64 f32 [value dim, filled up to 16] weighted values

So threads share a token's work, and what they find does not depend on which of them found it.
"""

from __future__ import annotations

(
    Q,
    Q_STEP,
    OUT,
    OUT_STEP,
    HEADS,
    KV_HEADS,
    DIM,
    V_DIM,
    K,
    K_SEQUENCE,
    K_HEAD,
    V,
    V_SEQUENCE,
    V_HEAD,
    SCALE,
    CAP,
    WINDOW,
    SLOPES,
    SINKS,
    STATE,
    CHUNK,
) = range(0, 168, 8)
"""Bytes from the start of the arguments to each."""

MAX_DIM = 576
"""Largest head dim: that of DeepSeek's latent attention."""

POSITIONS_OF_CHUNK = 512
"""What a chunk should be where nothing speaks for another number."""

PART_VALUES = 64
"""Bytes before the values of a partial result."""


def part_bytes(v_dim: int) -> int:
    """Bytes of one partial result."""
    return PART_VALUES + -(-v_dim // 16) * 64


def scratch_bytes(
    tokens: int, context: int, heads: int, v_dim: int, chunk: int = POSITIONS_OF_CHUNK
) -> int:
    """Bytes of scratch that decoding needs at most.

    Args:
        tokens: of a batch.
        context: positions that a token sees at most.
        heads: query heads.
        v_dim: values per head.
        chunk: positions of a chunk.
    """
    return tokens * (context // chunk + 2) * heads * part_bytes(v_dim)
