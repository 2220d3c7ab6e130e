"""The learning rate of each step: a linear warm-up, then half a cosine or a line.

Loshchilov and Hutter 2017.
"""

from __future__ import annotations

from math import cos, pi

from zigllm_cli.train.settings import Settings


def learning_rate(s: Settings, step: int) -> float:
    """Of a step, the first being 0; behind `decay_steps` it stays at its least."""
    if step < s.warmup:
        return s.learning_rate * (step + 1) / (s.warmup + 1)
    end = s.decay_steps or s.steps
    if step >= end:
        return s.min_learning_rate
    share = (step - s.warmup) / max(end - s.warmup, 1)
    left = 1 - share if s.schedule == "linear" else 0.5 * (1 + cos(pi * share))
    return s.min_learning_rate + (s.learning_rate - s.min_learning_rate) * left
