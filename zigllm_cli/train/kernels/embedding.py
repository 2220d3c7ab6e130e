"""Rows of a table looked up by token, and by position."""

from __future__ import annotations

from zigllm_cli.train.kernels.compiled import kernel


@kernel
def embed(tokens, table, y):
    """Y[n] = table[tokens[n]]."""
    for n in range(tokens.size):
        for c in range(table.shape[1]):
            y[n, c] = table[tokens[n], c]


@kernel
def embed_backward(tokens, dy, dtable):
    """dtable[tokens[n]] += dy[n]."""
    for n in range(tokens.size):
        for c in range(dtable.shape[1]):
            dtable[tokens[n], c] += dy[n, c]


@kernel
def add_positions(table, length, y):
    """Y[n] += table[n mod length]: sequences of that length stand one behind the other."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[n, c] += table[n % length, c]


@kernel
def positions_backward(dy, length, dtable):
    """dtable[n mod length] += dy[n]."""
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            dtable[n % length, c] += dy[n, c]
