"""The loop: batches, steps, validation, checkpoints. Says what happens to an observer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from zigllm_cli.errors import ZigllmError
from zigllm_cli.train.checkpoint import Checkpoint
from zigllm_cli.train.network import Network, single_threaded_blas
from zigllm_cli.train.schedule import learning_rate
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.tasks import Task
from zigllm_cli.train.tasks.puzzles import Puzzle


@dataclass(frozen=True)
class Report:
    """A step that is done.

    Attributes:
        step: the first being 1.
        loss: of its batch, before the step.
        rate: the learning rate.
        norm: of the gradient before clipping.
        tokens: that were learned from in this step.
        seconds: that it took.
        validation: the loss on held-out data; NaN where it was not asked for.
    """

    step: int
    loss: float
    rate: float
    norm: float
    tokens: int
    seconds: float
    validation: float = nan


@dataclass
class History:
    """Losses so far.

    Attributes:
        losses: of every step.
        validations: (steps done, loss).
    """

    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """That are done."""
        return len(self.losses)


class Trainer:
    """One run.

    Attributes:
        history: of it.
        final: the loss on all held-out data, once it is done; NaN if there is none.
        final_tokens: how many tokens that is of.
        stopping: set it to have the run end with its present step, with a checkpoint.
        solved: (right answers, held-out questions) of a puzzle.
    """

    def __init__(
        self,
        s: Settings,
        task: Task,
        network: Network,
        checkpoint: Path | None = None,
        origin: str = "",
    ) -> None:
        """`origin` names the model that the run goes on from."""
        self.settings, self.task, self.network = s, task, network
        self.checkpoint, self.origin = checkpoint, origin
        self.history = History()
        self.final, self.final_tokens = nan, 0
        self.stopping = False
        self.solved: tuple[int, int] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What its bytes depend on, besides the machine."""
        facts = {key: list(v) if isinstance(v, tuple) else v for key, v in self._facts().items()}
        return {**facts, "data": self.task.digest, "init": self.origin}

    def _facts(self) -> dict[str, Any]:
        facts = asdict(self.settings)
        # When a run is looked at does not change it.
        for name in ("evaluate_every", "evaluate_batches"):
            del facts[name]
        return facts

    def resume(self) -> int:
        """Go on from the checkpoint; returns the steps that are done."""
        assert self.checkpoint is not None
        found = Checkpoint.read(self.checkpoint)
        found.restore(self.network, self.identity, self.checkpoint)
        self.history.losses = found.losses.tolist()
        self.history.validations = [(int(step), float(x)) for step, x in found.validations]
        return self.history.steps

    def save(self) -> None:
        """Write the checkpoint."""
        if self.checkpoint is None:
            return
        network, history = self.network, self.history
        Checkpoint(
            history.steps,
            self.identity,
            network.flat,
            network.first,
            network.second,
            np.array(history.losses, np.float64),
            np.array(history.validations, np.float64).reshape(-1, 2),
        ).write(self.checkpoint)

    def run(self, observe: Callable[[Report], None] = lambda _: None) -> None:
        """All steps that are left, then the loss on everything that was held out.

        Raises:
            ZigllmError: the loss is no number any more.
        """
        with single_threaded_blas():
            if self.history.steps < self.settings.steps:
                self.network.warm_up(*self.task.batch(0, 0), self.settings.dropout)
            for report in self._steps():
                observe(report)
            total, self.final_tokens = self._validation(None)
            self.final = total / self.final_tokens if self.final_tokens else nan
            if isinstance(self.task, Puzzle):
                self.solved = self.task.solved(self.network)

    def _steps(self) -> Iterator[Report]:
        s = self.settings
        while self.history.steps < s.steps:
            if self.stopping:
                self.save()
                raise KeyboardInterrupt
            report = self._step(self.history.steps)
            self.history.losses.append(report.loss)
            if report.step % s.evaluate_every == 0 or report.step == s.steps:
                total, count = self._validation(s.evaluate_batches)
                validation = total / count if count else nan
                self.history.validations.append((report.step, validation))
                self.save()
                report = Report(**{**asdict(report), "validation": validation})
            yield report

    def _step(self, index: int) -> Report:
        s, network, start = self.settings, self.network, perf_counter()
        batches = [self.task.batch(index, part) for part in range(s.accumulate)]
        count = sum(int((targets >= 0).sum()) for _, targets in batches)
        total = 0.0
        for part, (tokens, targets) in enumerate(batches):
            key = (s.seed * 0x51ED27 + index * s.accumulate + part) & 0xFFFFFFF
            total += network.learn(
                tokens,
                targets,
                factor=1 / count,
                dropout=s.dropout,
                key=key,
                more=part > 0,
            )
        loss, rate, norm = total / count, learning_rate(s, index), network.norm
        if not isfinite(loss) or not isfinite(norm):
            raise ZigllmError(
                f"the loss is no number any more in step {index + 1}; lower --lr, now"
                f" {s.learning_rate:g}"
            )
        network.step(s, index + 1, rate)
        tokens_seen = sum(tokens.size for tokens, _ in batches)
        return Report(index + 1, loss, rate, norm, tokens_seen, perf_counter() - start)

    def _validation(self, batches: int | None) -> tuple[float, int]:
        """Summed loss over held-out tokens, and how many they are."""
        total, count = 0.0, 0
        for tokens, targets in self.task.held_out(batches):
            total += float(self.network.losses(tokens, targets).sum())
            count += int((targets >= 0).sum())
        return total, count
