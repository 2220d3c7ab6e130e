"""How a training goes: lines in a log, a table and a curve in a terminal, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import exp, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli.commands._output import printable, talk, write

if TYPE_CHECKING:
    from zigllm_cli.train.settings import Settings
    from zigllm_cli.train.trainer import History, Report, Trainer


class Lines:
    """A line at each validation."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._tokens, self._seconds = 0, 0.0

    def step(self, report: Report) -> None:
        """Say how far it is."""
        self._tokens += report.tokens
        self._seconds += report.seconds
        s = self.settings
        if report.step == 1 or report.step == s.steps or report.step % s.evaluate_every == 0:
            talk(self.line(report))
            self._tokens, self._seconds = 0, 0.0

    def line(self, report: Report) -> str:
        """Step, losses and speed."""
        parts = [f"step {report.step:>6}", f"loss {report.loss:.4f}"]
        if not isnan(report.validation):
            parts.append(f"validation {report.validation:.4f}")
        rate = self._tokens / max(self._seconds, 1e-9)
        return " · ".join([*parts, f"{rate:,.0f} tokens/s"])

    def finish(self, trainer: Trainer, output: Path, samples: list[str]) -> None:
        """Say what was reached."""
        if not isnan(trainer.final):
            talk(
                f"validation loss {trainer.final:.4f} (perplexity {exp(trainer.final):.3f})"
                f" over {trainer.final_tokens:,} tokens"
            )
        write("".join(f"{printable(sample)}\n" for sample in samples))


class JsonLines(Lines):
    """A JSON object per step on stdout."""

    def step(self, report: Report) -> None:
        """Every step."""
        values: dict[str, Any] = {
            "step": report.step,
            "loss": report.loss,
            "learning_rate": report.rate,
            "gradient_norm": report.norm,
            "tokens": report.tokens,
            "seconds": round(report.seconds, 6),
        }
        if not isnan(report.validation):
            values["validation_loss"] = report.validation
        write(json.dumps(values) + "\n")

    def finish(self, trainer: Trainer, output: Path, samples: list[str]) -> None:
        """The last line tells of the file."""
        final = None if isnan(trainer.final) else trainer.final
        values = {"output": str(output), "steps": trainer.history.steps}
        values |= {"validation_loss": final, "validation_tokens": trainer.final_tokens}
        if samples:
            values["samples"] = samples
        write(json.dumps(values) + "\n")


@contextmanager
def view_for(settings: Settings, history: History, *, json: bool) -> Iterator[Lines]:
    """What suits stderr and the command line."""
    yield JsonLines(settings) if json else Lines(settings)
