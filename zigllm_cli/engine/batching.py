"""Continuous batching: many prompts over a few slots of one runner.

Sequences that decode are evaluated together, so that the weights are read once for all of them;
as soon as one is over, the next prompt takes its slot. A prompt that another sequence has too is
copied from there. A prompt is evaluated by itself, in the same pieces as if it were alone, and not
mixed into the others' step: so each text is exactly that of its single run. The price is one more
reading of the weights for a short prompt; a long one is bound by arithmetic anyway.
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
    import numpy as np
    from numpy.typing import NDArray

    from zigllm_cli.engine.runner import Runner


@dataclass
class _Job:
    """A continuation at work.

    Attributes:
        number: its place in the order.
        logits: behind its prompt, for others with the same prompt.
    """

    number: int
    continuation: Continuation
    session: Session
    logits: NDArray[np.float32] | None = None


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
            begun = self._begin_all(islice(waiting, len(slots)), slots, active)
            active += begun
            if not active:
                return
            if not begun:
                self._step(active)

    def _begin_all(
        self, items: Iterable[tuple[int, Continuation]], slots: Slots, active: list[_Job]
    ) -> list[_Job]:
        begun: list[_Job] = []
        for number, continuation in items:
            job = _Job(number, continuation, Session(self.runner, slots.take(), slots))
            self._begin(job, [*active, *begun])
            begun.append(job)
        return begun

    def _begin(self, job: _Job, others: Iterable[_Job]) -> None:
        """Evaluate a prompt, or copy that of another job, and choose the first token."""
        continuation, prompt = job.continuation, job.continuation.prompt
        check_length(len(prompt), self.runner.context)
        if continuation.finish_reason is not None:
            return
        start = perf_counter()
        for other in others:
            whole = other.session.tokens[: len(prompt)] == prompt
            if other.logits is not None and whole and other.continuation.prompt == prompt:
                job.session.copy(other.session, len(prompt))
                job.logits = other.logits
                break
        else:
            job.logits = job.session.eval(prompt)
            self.timings.prefill_tokens += len(prompt)
        self.timings.prefill += perf_counter() - start
        continuation.choose(job.logits)

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
