"""Continuous batching: many prompts over a few slots of one runner.

Sequences that decode are evaluated together, so that the weights are read once for all of them;
as soon as one is over, the next prompt takes its slot. A prompt is evaluated by itself, in the
same pieces as if it were alone, and not mixed into the others' step: so each text is exactly
that of its single run. The price is one more reading of the weights for a short prompt; a long
one is bound by arithmetic anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING

from zigllm_cli.engine.generation import (
    CONTEXT,
    Continuation,
    Timings,
    check_length,
    make_room,
)
from zigllm_cli.engine.session import Session, Slots, eval_together

if TYPE_CHECKING:
    from zigllm_cli.engine.runner import Runner


@dataclass
class _Job:
    """A continuation at work: its place in the order, and its sequence."""

    number: int
    continuation: Continuation
    session: Session


@dataclass
class Batching:
    """Runs continuations, as many at a time as the runner has slots.

    Attributes:
        keep: context shift, as for a `Generation`.
        timings: sums over all of them.
    """

    runner: Runner
    keep: int | None = None
    timings: Timings = field(default_factory=Timings)

    def run(self, continuations: Iterable[Continuation]) -> Iterator[Continuation]:
        """Each one when it and all before it are over, in the order given.

        Raises:
            UsageError: a prompt is longer than the context.
        """
        slots = Slots(self.runner)
        waiting = enumerate(continuations)
        active: list[_Job] = []
        finished: dict[int, Continuation] = {}
        following = 0
        while True:
            active = list(self._without_finished(active, finished))
            while following in finished:
                yield finished.pop(following)
                following += 1
            begun = [self._begin(*item, slots) for item in islice(waiting, len(slots))]
            active += begun
            if not active:
                return
            if not begun:
                self._step(active)

    def _begin(self, number: int, continuation: Continuation, slots: Slots) -> _Job:
        """Evaluate a prompt in a slot of its own, and choose the first token."""
        check_length(len(continuation.prompt), self.runner.context)
        job = _Job(number, continuation, Session(self.runner, slots.take(), slots))
        if continuation.finish_reason is None:
            start = perf_counter()
            logits = job.session.eval(continuation.prompt)
            self.timings.prefill += perf_counter() - start
            self.timings.prefill_tokens += len(continuation.prompt)
            continuation.choose(logits)
        return job

    def _without_finished(
        self, active: list[_Job], finished: dict[int, Continuation]
    ) -> Iterator[_Job]:
        for job in active:
            if job.continuation.finish_reason is None:
                yield job
            else:
                finished[job.number] = job.continuation
                job.session.close()

    def _step(self, active: list[_Job]) -> None:
        """One token more for each."""
        start = perf_counter()
        ready = []
        for job in active:
            if make_room(job.session, self.keep):
                ready.append(job)
            else:
                job.continuation.finish(CONTEXT)
        if ready:
            tokens = [job.continuation.tokens[-1] for job in ready]
            logits = eval_together([job.session for job in ready], tokens)
            for job, row in zip(ready, logits, strict=True):
                job.continuation.choose(row)
        self.timings.decode += perf_counter() - start
        self.timings.decode_tokens += len(ready)
