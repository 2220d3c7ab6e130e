"""Matrix products of a prompt in float32: by the engine's kernels, and by the BLAS of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from zigllm_cli.commands._bench_measure import random_tokens
from zigllm_cli.engine.batch import Batch

if TYPE_CHECKING:
    from zigllm_cli.engine.runner import Runner


def product_rates(runner: Runner, tokens: int, repetitions: int) -> tuple[float, float]:
    """Tokens per second of all products, logits included: (kernels, BLAS), best of some runs.

    Args:
        runner: of a file whose matrices are F32.
        tokens: of the prompt, evaluated in one step.
    """
    ids = random_tokens(runner, tokens)

    def kernels() -> float:
        runner.truncate(0, 0)
        times = runner.profile(Batch.of(ids, 0, 0, outputs=range(tokens)))
        return sum(each.seconds for each in times if each.macs)

    blas = _by_blas(runner, tokens)
    return tokens / _best(kernels, repetitions), tokens / _best(blas, repetitions)


def _best(seconds: Callable[[], float], repetitions: int) -> float:
    """The shortest of some runs behind one that warms up."""
    return min([seconds() for _ in range(repetitions + 1)][1:])


def _by_blas(runner: Runner, tokens: int) -> Callable[[], float]:
    import numpy as np

    from zigllm_cli.plan.operations import Product

    weights = [op.weight for op in runner.plan.operations if isinstance(op, Product)]
    inputs = {w.columns: np.ones((tokens, w.columns), np.float32) for w in weights}

    def run() -> float:
        start = perf_counter()
        for weight in weights:
            matrix = weight.data.view(np.float32).reshape(weight.rows, weight.columns)
            np.matmul(inputs[weight.columns], matrix.T)
        return perf_counter() - start

    return run
