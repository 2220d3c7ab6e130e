"""Softmax and cross-entropy in one: the loss, and the gradient of the logits in their place."""

from __future__ import annotations

import numpy as np

from zigllm_cli.train.kernels.compiled import kernel
from zigllm_cli.train.kernels.exponential import exp

IGNORED = -1
"""A target that does not count."""


@kernel
def cross_entropy(logits, targets, losses):
    """losses[n] = -ln p(target), 0 where the target is ignored."""
    for n in range(targets.size):
        if targets[n] < 0:
            losses[n] = 0
            continue
        row = logits[n]
        most = row[0]
        for j in range(row.size):
            most = max(most, row[j])
        total = logits.dtype.type(0)
        for j in range(row.size):
            total += exp(row[j] - most)
        losses[n] = np.log(total) + most - row[targets[n]]


@kernel
def cross_entropy_gradient(logits, targets, losses, factor):
    """The same, and in place of the logits factor * (softmax - 1 at the target)."""
    share = logits.dtype.type(factor)
    for n in range(targets.size):
        row = logits[n]
        if targets[n] < 0:
            losses[n] = 0
            row[:] = 0
            continue
        most = row[0]
        for j in range(row.size):
            most = max(most, row[j])
        correct = row[targets[n]]
        total = logits.dtype.type(0)
        for j in range(row.size):
            row[j] = exp(row[j] - most)
            total += row[j]
        losses[n] = np.log(total) + most - correct
        norm = share / total
        for j in range(row.size):
            row[j] *= norm
        row[targets[n]] -= share
