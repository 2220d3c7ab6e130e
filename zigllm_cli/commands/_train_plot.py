"""Losses of a training as a picture: PNG or SVG. Needs matplotlib (extra `plot`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zigllm_cli.atomic import atomic_file
from zigllm_cli.errors import UsageError

try:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError:
    raise UsageError("--plot needs matplotlib: pip install 'zigllm-cli[plot]'") from None

if TYPE_CHECKING:
    from zigllm_cli.train.trainer import History

FORMS = ("png", "svg")
INK, FAINT, GRID, MARK = "#1f2328", "#b9c3cf", "#e6eaef", "#0b62d6"


def check_form(path: Path) -> None:
    """Refuse early what could not be drawn at the end."""
    if path.suffix.lower().removeprefix(".") not in FORMS:
        raise UsageError(f"--plot {path}: name a .png or .svg file")


def smoothed(losses: list[float], share: float = 0.02) -> list[float]:
    """A running mean with a memory of about this share of all steps."""
    keep = 1 - 1 / max(len(losses) * share, 1)
    found: list[float] = []
    mean, weight = 0.0, 0.0
    for loss in losses:
        mean, weight = keep * mean + (1 - keep) * loss, keep * weight + (1 - keep)
        found.append(mean / weight)
    return found


def write_plot(history: History, path: Path, *, title: str) -> None:
    """The loss of each step, faint, its running mean, and the validations as points."""
    settings: Any = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "zigllm"}
    steps = range(1, history.steps + 1)
    with rc_context(settings), atomic_file(path) as file:
        figure = Figure(figsize=(7.2, 4.4), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", color=INK, fontsize=11)
        axes.grid(visible=True, color=GRID, linewidth=0.7)
        axes.plot(steps, history.losses, color=FAINT, linewidth=0.6, label="loss of a batch")
        axes.plot(steps, smoothed(history.losses), color=INK, linewidth=1.4, label="running mean")
        shown = [(step, loss) for step, loss in history.validations if loss == loss]
        if shown:
            axes.plot(*zip(*shown, strict=True), "o-", color=MARK, ms=4, label="validation")
        axes.set_xlabel("step", color=INK)
        axes.set_ylabel("loss, nats per token", color=INK)
        axes.legend(frameon=False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        form = path.suffix.lower().removeprefix(".")
        figure.savefig(file, format=form, metadata={"Date": None} if form == "svg" else None)
