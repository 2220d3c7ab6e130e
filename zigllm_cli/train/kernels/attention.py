"""Causal attention around its products: heads taken apart and rotated, softmax, heads together.

B sequences of T tokens, K key-value heads with G query heads each, D values per head. The products
themselves are BLAS's: scores = q k^T [B, K, G T, T], y = p v [B, K, G T, D].
"""

from __future__ import annotations

from zigllm_cli.train.kernels.compiled import kernel
from zigllm_cli.train.kernels.exponential import exp


@kernel
def split_heads(x, start, heads, cos, sin):
    """From columns of x [B T, ...] to heads [B, K, G, T, D], turned by their positions.

    Args:
        start: first of the columns.
        cos, sin: [T, D/2], for neighbouring pairs (RoPE, Su et al. 2021); no rows: not turned.
    """
    batch, kv, group, length, dim = heads.shape
    for b in range(batch):
        for h in range(kv * group):
            out = heads[b, h // group, h % group]
            for t in range(length):
                row = x[b * length + t, start + h * dim : start + (h + 1) * dim]
                if cos.shape[0] == 0:
                    for d in range(dim):
                        out[t, d] = row[d]
                else:
                    for d in range(dim // 2):
                        a, c = row[2 * d], row[2 * d + 1]
                        out[t, 2 * d] = a * cos[t, d] - c * sin[t, d]
                        out[t, 2 * d + 1] = a * sin[t, d] + c * cos[t, d]


@kernel
def merge_heads(heads, x, start, cos, sin):
    """The way back, which is also the gradient: a turn's is the opposite turn."""
    batch, kv, group, length, dim = heads.shape
    for b in range(batch):
        for h in range(kv * group):
            source = heads[b, h // group, h % group]
            for t in range(length):
                row = x[b * length + t, start + h * dim : start + (h + 1) * dim]
                if cos.shape[0] == 0:
                    for d in range(dim):
                        row[d] = source[t, d]
                else:
                    for d in range(dim // 2):
                        a, c = source[t, 2 * d], source[t, 2 * d + 1]
                        row[2 * d] = a * cos[t, d] + c * sin[t, d]
                        row[2 * d + 1] = c * cos[t, d] - a * sin[t, d]


@kernel
def causal_softmax(scores, factor):
    """In place: row r of [..., G T, T] becomes the softmax of factor * its first r mod T + 1."""
    length = scores.shape[1]
    scale, zero = scores.dtype.type(factor), scores.dtype.type(0)
    for r in range(scores.shape[0]):
        row = scores[r]
        seen = r % length + 1
        most = row[0]
        for j in range(seen):
            most = max(most, row[j])
        total = zero
        for j in range(seen):
            row[j] = exp((row[j] - most) * scale)
            total += row[j]
        share = scores.dtype.type(1) / total
        for j in range(seen):
            row[j] *= share
        for j in range(seen, length):
            row[j] = zero


@kernel
def causal_softmax_backward(p, dp, factor):
    """In place of dp: factor * p (dp - sum(p dp)), 0 for what was not seen."""
    length = p.shape[1]
    scale, zero = p.dtype.type(factor), p.dtype.type(0)
    for r in range(p.shape[0]):
        seen = r % length + 1
        dot = zero
        for j in range(seen):
            dot += p[r, j] * dp[r, j]
        for j in range(seen):
            dp[r, j] = scale * p[r, j] * (dp[r, j] - dot)
        for j in range(seen, length):
            dp[r, j] = zero
