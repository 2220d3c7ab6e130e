"""Measured speeds: prompts of random tokens in one batch, and tokens one by one, as llama-bench.

No tokenizer and no sampling takes part. The first run of each test warms up and does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean, stdev
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from zigllm_cli.engine.batch import Batch

if TYPE_CHECKING:
    from zigllm_cli.engine.runner import Runner


@dataclass(frozen=True)
class Test:
    """What is measured: either a prompt or decoding.

    Attributes:
        prompt: tokens evaluated together; 0 for a test of decoding.
        generated: tokens evaluated one by one; 0 for a test of a prompt.
        depth: tokens in the context before.
        threads: None for what suits the machine.
        batch: most tokens of a step.
    """

    prompt: int
    generated: int
    depth: int
    threads: int | None
    batch: int

    @property
    def name(self) -> str:
        """As llama-bench calls it: pp512, tg128, tg128 @ d2048."""
        kind = f"pp{self.prompt}" if self.prompt else f"tg{self.generated}"
        return f"{kind} @ d{self.depth}" if self.depth else kind

    @property
    def tokens(self) -> int:
        """How many are measured."""
        return self.prompt + self.generated


@dataclass(frozen=True)
class Result:
    """Tokens per second of each repetition of a test, with the threads it really had."""

    test: Test
    threads: int
    rates: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.rates)

    @property
    def deviation(self) -> float:
        """Of the sample; 0 for a single one."""
        return stdev(self.rates) if len(self.rates) > 1 else 0.0

    @property
    def best(self) -> float:
        """The machine's noise only ever slows a run."""
        return max(self.rates)


def combine(
    prompts: Sequence[int],
    generated: Sequence[int],
    depths: Sequence[int],
    threads: Sequence[int | None],
    batches: Sequence[int],
) -> list[Test]:
    """Every combination, those of one engine side by side."""
    lengths = [(p, 0) for p in prompts if p] + [(0, n) for n in generated if n]
    return [
        Test(p, n, depth, t, batch)
        for t, batch, depth, (p, n) in product(threads, batches, depths, lengths)
    ]


def random_tokens(runner: Runner, count: int) -> list[int]:
    """The same ones every time."""
    numbers: list[int] = np.random.default_rng(0).integers(0, runner.vocabulary, count).tolist()
    return numbers


def fill(runner: Runner, depth: int) -> None:
    """Put so many tokens into the context."""
    runner.truncate(0, 0)
    if depth:
        runner.step(Batch.of(random_tokens(runner, depth), 0, 0, outputs=()))


def go_back(runner: Runner, depth: int) -> None:
    """Have so many tokens in the context as there were before a test; fill it anew if need be."""
    runner.truncate(0, depth)
    if runner.length(0) < depth:
        fill(runner, depth)


def once(runner: Runner, test: Test) -> float:
    """Seconds that a test takes, `depth` tokens being there."""
    go_back(runner, test.depth)
    tokens = random_tokens(runner, test.tokens)
    start = perf_counter()
    if test.prompt:
        runner.step(Batch.of(tokens, test.depth, 0))
    else:
        for position, token in enumerate(tokens, test.depth):
            runner.step(Batch.of([token], position, 0))
    return perf_counter() - start


def measure(
    runner: Runner, test: Test, repetitions: int, report: Callable[[Test, int], None] | None = None
) -> Result:
    """Fill the context, warm up, and measure."""
    fill(runner, test.depth)
    rates = []
    for number in range(repetitions + 1):
        if report:
            report(test, number)
        rates.append(test.tokens / once(runner, test))
    return Result(test, runner.threads, tuple(rates[1:]))


def engines(
    tests: Sequence[Test], make: Callable[[Test, int], Runner]
) -> Iterator[tuple[Runner, Test]]:
    """Each test with an engine for it; tests of the same threads and batch share one.

    Args:
        make: opens an engine for a test, with a context of so many tokens.
    """
    context = max(test.depth + test.tokens for test in tests)
    runner, form = None, None
    for test in tests:
        if runner is None or form != (test.threads, test.batch):
            if runner is not None:
                runner.close()
            runner, form = make(test, context), (test.threads, test.batch)
        yield runner, test
    if runner is not None:
        runner.close()
