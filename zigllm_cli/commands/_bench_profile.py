"""Where the time of a step goes: each operation beside what the machine can do at best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from zigllm_cli.commands._bench_measure import Test, fill, go_back, random_tokens
from zigllm_cli.commands._bench_output import SCHEMA, Subject, show_rows
from zigllm_cli.commands._output import print_json, write
from zigllm_cli.engine.batch import Batch

if TYPE_CHECKING:
    from zigllm_cli.engine.runner import OperationTime, Runner

ENOUGH = 0.03
"""Seconds that a measured loop should take at least."""


LONG_ENOUGH = 0.5
"""Seconds that a profile should take at least."""


@dataclass(frozen=True)
class Limits:
    """What the machine does at best with the threads of a runner.

    Attributes:
        read: bytes per second of a plain loop over the model's own tensors.
        dot: multiply-adds per second of byte products, the weights being small.
    """

    read: float
    dot: float

    def or_better(self, other: Limits) -> Limits:
        """The better of two measurements, each limit for itself."""
        return Limits(max(self.read, other.read), max(self.dot, other.dot))


@dataclass(frozen=True)
class Row:
    """All operations of one kind in a step.

    Attributes:
        seconds, bytes, macs: sums over them; bytes are those of weights.
    """

    label: str
    detail: str
    calls: int
    seconds: float
    bytes: int
    macs: int

    def of_limit(self, limits: Limits) -> float:
        """The part of the machine's best that is reached, by bytes or by products."""
        if not self.seconds:
            return 0.0
        return max(self.bytes / limits.read, self.macs / limits.dot) / self.seconds


@dataclass(frozen=True)
class Profile:
    """A step: its operations, and how long it took without clocks between them."""

    test: Test
    threads: int
    limits: Limits
    rows: tuple[Row, ...]
    wall: float

    @property
    def total(self) -> float:
        """Seconds of all operations together."""
        return sum(row.seconds for row in self.rows)


def measure_limits(runner: Runner) -> Limits:
    """Run the two loops on the runner's own threads; the best of several times."""
    largest = max(runner.file.tensors.values(), key=lambda tensor: tensor.nbytes)
    shard = runner.file.headers[largest.shard]
    data = np.frombuffer(shard.layout.buffer, np.uint8)[shard.data_start :]
    from zigllm_cli.kernels.limits import MACS_PER_ROUND, OPERANDS

    operands = np.ones(OPERANDS, np.uint8)
    rounds = runner.threads * MACS_PER_ROUND
    return Limits(
        read=data.nbytes * _rate(runner, "read", data),
        dot=rounds * _rate(runner, "dot", operands),
    )


def _rate(runner: Runner, kind: str, data: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    """Times per second that a loop can be run over data, best of five."""
    from zigllm_cli.engine.runner import Table
    from zigllm_cli.jit import Kernel
    from zigllm_cli.plan.lowering import Call

    sink = np.zeros(64 * runner.threads, np.uint8)

    def seconds(times: int) -> float:
        words = (data.ctypes.data, data.nbytes, times, sink.ctypes.data)
        table = Table.of([Call(Kernel("limits", (kind,)), words, kind)])
        start = perf_counter()
        runner.workers.run(table.rows.ctypes.data, 1)
        return perf_counter() - start

    times = 1
    while seconds(times) < ENOUGH:
        times *= 2
    return times / min(seconds(times) for _ in range(5))


def profile(runner: Runner, test: Test, repetitions: int) -> Profile:
    """Profile a step of the test's tokens (one for decoding), best of `repetitions` and more.

    A step of milliseconds is repeated until one was not disturbed by anything else.
    Steps with and without clocks take turns, so that both meet the same machine.
    """
    limits = measure_limits(runner)
    fill(runner, test.depth)
    count = min(test.prompt, runner.batch) or 1
    batch = Batch.of(random_tokens(runner, count), test.depth, 0)
    runs: list[list[OperationTime]] = []
    walls: list[float] = []
    started = perf_counter()
    while len(walls) <= repetitions or perf_counter() - started < LONG_ENOUGH:
        go_back(runner, test.depth)
        runs.append(runner.profile(batch))
        go_back(runner, test.depth)
        start = perf_counter()
        runner.step(batch)
        walls.append(perf_counter() - start)
    best = min(runs[1:], key=lambda run: sum(operation.seconds for operation in run))
    limits = limits.or_better(measure_limits(runner))
    return Profile(test, runner.threads, limits, group(best), min(walls[1:]))


def group(operations: Sequence[OperationTime]) -> tuple[Row, ...]:
    """Operations with the same label and detail together, those that take longest first."""
    groups: dict[tuple[str, str], list[OperationTime]] = {}
    for operation in operations:
        groups.setdefault((operation.label, operation.detail), []).append(operation)
    rows = [
        Row(
            label,
            detail,
            len(members),
            sum(member.seconds for member in members),
            sum(member.bytes for member in members),
            sum(member.macs for member in members),
        )
        for (label, detail), members in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.seconds))


def show_profiles(subject: Subject, profiles: Sequence[Profile], form: str) -> None:
    """Tables, one for each profile, or one JSON document."""
    if form == "json":
        print_json(
            {
                "schema": SCHEMA,
                **asdict(subject),
                "profiles": [
                    {"name": _title(p), **asdict(p), "operations": p.total} for p in profiles
                ],
            }
        )
        return
    for number, each in enumerate(profiles):
        write("\n" if number else "")
        write(f"{_title(each)}, {each.threads} threads: limits of this machine ")
        write(f"{each.limits.read / 1e9:.1f} GB/s, {each.limits.dot / 1e9:.0f} GMAC/s\n\n")
        show_rows(*_table(each), form)


def _title(each: Profile) -> str:
    tokens = f"{each.test.prompt} tokens" if each.test.prompt else "1 token"
    return f"a step of {tokens} behind {each.test.depth}"


def _table(each: Profile) -> tuple[list[str], list[list[str]]]:
    header = [
        *("operation", "weights", ">calls", ">ms", ">share"),
        *(">GB/s", ">GMAC/s", ">of limit"),
    ]
    rows = []
    for row in each.rows:
        has_rate = row.seconds > 0 and row.macs > 0
        rows.append(
            [
                *(row.label, row.detail, str(row.calls), f"{row.seconds * 1e3:.3f}"),
                f"{row.seconds / each.total:.1%}",
                f"{row.bytes / row.seconds / 1e9:.1f}" if has_rate else "",
                f"{row.macs / row.seconds / 1e9:.1f}" if has_rate else "",
                f"{row.of_limit(each.limits):.0%}" if has_rate else "",
            ]
        )
    for name, seconds in (
        ("all operations", each.total),
        ("a step without clocks", each.wall),
    ):
        share = f"{seconds / each.total:.1%}"
        rows.append([name, "", "", f"{seconds * 1e3:.3f}", share, "", "", ""])
    return header, rows
