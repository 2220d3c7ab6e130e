"""Size against perplexity as a picture, for a report: PNG or SVG, for light or dark pages.

Imported where a plot is wanted, since it needs matplotlib (extra `plot`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import Bbox

from zigllm_cli.atomic import atomic_file
from zigllm_cli.commands._perplexity_chart import Point, bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

INCHES, DOTS = (7.2, 4.4), 200

MARK = 10.0
"""Half the width of a point, in dots."""

PLACES = [
    ((9, 0), "left", "center"),
    ((7, 5), "left", "bottom"),
    ((7, -5), "left", "top"),
    ((0, 9), "center", "bottom"),
    ((0, -9), "center", "top"),
    ((-9, 0), "right", "center"),
    ((-7, 5), "right", "bottom"),
    ((-7, -5), "right", "top"),
    ((7, 16), "left", "bottom"),
    ((7, -16), "left", "top"),
]
"""Where a label may stand: points from its mark, and which part of it stands there."""


@dataclass(frozen=True)
class Theme:
    """Colours of a picture."""

    paper: str
    ink: str
    grid: str
    faint: str
    mark: str


LIGHT = Theme(paper="#ffffff", ink="#1f2328", grid="#e6eaef", faint="#9aa4b0", mark="#0b62d6")
DARK = Theme(paper="#0d1117", ink="#e6edf3", grid="#242a32", faint="#6b7681", mark="#58a6ff")


def write_plot(points: Sequence[Point], path: Path, *, title: str, dark: bool) -> None:
    """Draw the points with their error bars and write the picture.

    A thin bar is the error of the perplexity, which models on one text mostly share; a thick one
    that of the difference to the first model.
    """
    theme = DARK if dark else LIGHT
    shown = [point for point in points if isfinite(point.value)]
    settings: Any = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "zigllm"}
    with rc_context(settings), atomic_file(path) as file:
        figure = Figure(figsize=INCHES, dpi=DOTS, facecolor=theme.paper, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(facecolor=theme.paper)
        _style(axes, theme, title)
        if shown:
            _draw(axes, shown, theme)
        form = path.suffix.lower().removeprefix(".")
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(file, format=form, facecolor=theme.paper, metadata=metadata)


def _style(axes: Axes, theme: Theme, title: str) -> None:
    axes.set_title(title, loc="left", color=theme.ink, fontsize=11)
    axes.grid(visible=True, color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.faint)
    axes.set_ylabel("perplexity (lower is better)", color=theme.ink)


def _draw(axes: Axes, points: Sequence[Point], theme: Theme) -> None:
    unit, factor = _unit(max(point.size for point in points))
    notes = [f"size of the file, {unit}"]
    if any(point.apart is not None for point in points):
        notes.append(
            f"bars: error of the perplexity (thin), of the difference to {points[0].label} (thick)"
        )
    axes.set_xlabel("\n".join(notes), color=theme.ink)
    for point in points:
        size = point.size / factor
        _bar(axes, size, point.value, point.error, theme.faint, 1.0)
        if point.apart is not None:
            _bar(axes, size, point.value, point.apart, theme.mark, 3.0)
    sizes = [point.size / factor for point in points]
    axes.scatter(sizes, [point.value for point in points], s=42, color=theme.mark, zorder=4)
    low, high = bounds(points)
    axes.set_ylim(low, high)
    span = max(sizes) - min(sizes) or max(sizes)
    axes.set_xlim(min(sizes) - 0.06 * span, max(sizes) + 0.16 * span)
    labels = [
        axes.annotate(
            point.label,
            (size, point.value),
            color=theme.ink,
            zorder=5,
            xytext=(0, 0),
            textcoords="offset points",
            path_effects=[Stroke(linewidth=3, foreground=theme.paper), Normal()],
        )
        for point, size in zip(points, sizes, strict=True)
    ]
    _place(axes, labels)


def _place(axes: Axes, labels: Sequence[Annotation]) -> None:
    """Put each label at the first place around its point where it covers nothing else."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    points = [axes.transData.transform(label.xy) for label in labels]
    taken = [Bbox.from_bounds(x - MARK, y - MARK, 2 * MARK, 2 * MARK) for x, y in points]
    for label in labels:
        for place in PLACES:
            label.xyann, ha, va = place
            label.set(ha=ha, va=va)
            box = label.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def _bar(axes: Axes, size: float, value: float, error: float, colour: str, width: float) -> None:
    axes.errorbar(
        size, value, yerr=error, fmt="none", ecolor=colour, elinewidth=width, capsize=3, zorder=3
    )


def _unit(size: int) -> tuple[str, float]:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return unit, factor
    return "kB", 1e3
