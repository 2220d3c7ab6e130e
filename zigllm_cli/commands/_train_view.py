"""How a training goes: lines in a log, a table and a curve in a terminal, or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import exp, isnan
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TextIO

from zigllm_cli.commands._charts import blocks_wanted
from zigllm_cli.commands._output import columns, printable, stderr_console, talk, write
from zigllm_cli.commands._perplexity_progress import duration
from zigllm_cli.commands._train_curve import curve

if TYPE_CHECKING:
    from rich.console import Group

    from zigllm_cli.train.settings import Settings
    from zigllm_cli.train.trainer import History, Report, Trainer

OFTEN = 0.2
"""Seconds between two pictures."""

ROWS, CURVE_ROWS, WIDEST = 8, 8, 100
"""Validations shown, and lines and most columns of the curve."""


class Lines:
    """A line at each validation, for a log.

    Attributes:
        seconds: of training so far, validations not counted.
    """

    def __init__(self, settings: Settings, history: History) -> None:
        self.settings, self.history = settings, history
        self.seconds = 0.0
        self._since = (0, 0.0)

    def step(self, report: Report) -> None:
        """Say how far it is."""
        self.count(report)
        s = self.settings
        if report.step in (1, s.steps) or report.step % s.evaluate_every == 0:
            talk(" · ".join(self.cells(report)))

    def count(self, report: Report) -> None:
        """Take a step into the speed."""
        tokens, seconds = self._since
        self._since = tokens + report.tokens, seconds + report.seconds
        self.seconds += report.seconds

    def cells(self, report: Report) -> list[str]:
        """Step, losses, and the speed since they were last asked for."""
        tokens, seconds = self._since
        self._since = (0, 0.0)
        cells = [f"step {report.step:>6}", f"loss {report.loss:.4f}"]
        if not isnan(report.validation):
            cells.append(f"validation {report.validation:.4f}")
        return [*cells, f"{tokens / max(seconds, 1e-9):,.0f} tokens/s"]

    def finish(self, trainer: Trainer, output: Path, samples: list[str]) -> None:
        """Say what was reached; samples go to stdout."""
        talk(f"trained in {self.seconds:.2f} s")
        if not isnan(trainer.final):
            talk(
                f"validation loss {trainer.final:.4f} (perplexity {exp(trainer.final):.3f})"
                f" over {trainer.final_tokens:,} tokens"
            )
        if trainer.solved is not None:
            right, asked = trainer.solved
            talk(f"held-out questions answered right: {right} of {asked} ({right / asked:.2%})")
        write("".join(f"{printable(sample)}\n" for sample in samples))


class JsonLines(Lines):
    """A JSON object per step on stdout."""

    def step(self, report: Report) -> None:
        """Every step."""
        self.count(report)
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
        sys.stdout.flush()

    def finish(self, trainer: Trainer, output: Path, samples: list[str]) -> None:
        """The last line tells of the file."""
        final = None if isnan(trainer.final) else trainer.final
        values = {"output": str(output), "steps": trainer.history.steps}
        values |= {"validation_loss": final, "validation_tokens": trainer.final_tokens}
        values["training_seconds"] = round(self.seconds, 3)
        if trainer.solved is not None:
            values["right"], values["asked"] = trainer.solved
        if samples:
            values["samples"] = samples
        write(json.dumps(values) + "\n")


class Screen(Lines):
    """A picture that is drawn anew: the last validations as a table, the loss as a curve."""

    def __init__(self, settings: Settings, history: History, live: Any, stream: TextIO) -> None:
        super().__init__(settings, history)
        self._live, self._drawn, self._stream = live, 0.0, stream
        self._started = perf_counter()
        self._known = history.steps
        self._rows: list[list[str]] = []

    def step(self, report: Report) -> None:
        """Draw, if the last picture is old enough."""
        self.count(report)
        s, now = self.settings, perf_counter()
        is_row = report.step == s.steps or report.step % s.evaluate_every == 0
        if is_row:
            validation = "" if isnan(report.validation) else f"{report.validation:.4f}"
            speed = self.cells(report)[-1].removesuffix(" tokens/s")
            self._rows.append([f"{report.step:,}", f"{report.loss:.4f}", validation, speed])
        if is_row or now - self._drawn >= OFTEN:
            self._drawn = now
            self._live.update(self._picture(report), refresh=True)

    def _picture(self, report: Report) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        steps = self.settings.steps
        passed = perf_counter() - self._started
        left = passed / max(report.step - self._known, 1) * (steps - report.step)
        line = (
            f"step {report.step:,} of {steps:,} · loss {report.loss:.4f} · rate {report.rate:.2e}"
            f" · gradient {report.norm:.2f} · {duration(left)} left"
        )
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("step", "loss", "validation", "tokens/s"):
            table.add_column(title, justify="right")
        for row in self._rows[-ROWS:]:
            table.add_row(*row)
        wide = min(columns(self._stream) - 1, WIDEST)
        blocks = blocks_wanted(self._stream)
        picture = curve(self.history.losses, wide, CURVE_ROWS, steps=steps, blocks=blocks)
        parts = [
            Text("\n".join(picture), no_wrap=True),
            Text(line, no_wrap=True, overflow="ellipsis"),
        ]
        return Group(*([table] if self._rows else []), *parts)


@contextmanager
def view_for(settings: Settings, history: History, *, json: bool) -> Iterator[Lines]:
    """What suits stderr and the command line."""
    if json:
        yield JsonLines(settings, history)
        return
    console = stderr_console()
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines(settings, history)
        return
    from rich.live import Live

    stream = sys.stderr  # `Live` puts another one in its place
    with Live(console=console, auto_refresh=False) as live:
        yield Screen(settings, history, live, stream)
