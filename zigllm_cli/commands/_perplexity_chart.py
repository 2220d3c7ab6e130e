"""Size against perplexity, out of characters. Knows numbers and widths, no console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from zigllm_cli.commands._output import human_bytes

ROWS = 12
"""Of the chart."""


@dataclass(frozen=True)
class Point:
    """A model on the chart.

    Attributes:
        label: its name.
        size: bytes.
        value: perplexity.
        error: of it, which models on the same text mostly have in common.
        apart: error of its difference to the first model's; None without one.
    """

    label: str
    size: int
    value: float
    error: float
    apart: float | None = None

    @property
    def bar(self) -> float:
        """The error that says how far models differ."""
        return self.error if self.apart is None else self.apart


def labels(names: Sequence[str]) -> list[str]:
    """Names without what they all begin with, up to a dash or a dot."""
    if len(names) < 2:
        return list(names)
    first, last = min(names), max(names)
    same = next((i for i, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1), 0)
    cut = max(first.rfind(mark, 0, same) for mark in "-.") + 1
    return [name[cut:] for name in names]


def bounds(points: Sequence[Point]) -> tuple[float, float]:
    """The range of perplexities to show: all values with their bars, and some room."""
    low, high = min(p.value - p.bar for p in points), max(p.value + p.bar for p in points)
    room = max((high - low) * 0.1, high * 1e-4)
    return low - room, high + room


def chart(points: Sequence[Point], width: int, *, blocks: bool = True) -> list[str]:
    """Lines of a chart of at most `width` columns; nothing without two finite values."""
    shown = [point for point in points if isfinite(point.value)]
    if len(shown) < 2:
        return []
    low, high = bounds(shown)
    smallest, largest = min(p.size for p in shown), max(p.size for p in shown)
    ticks = [f"{high - (high - low) * row / (ROWS - 1):.4g}" for row in range(0, ROWS, 3)]
    margin = max(map(len, ticks)) + 1
    inner = max(width - margin - 2, 10)
    grid = [[" "] * inner for _ in range(ROWS)]

    def row_of(value: float) -> int:
        return round((high - value) / (high - low) * (ROWS - 1))

    def column_of(size: int) -> int:
        return 2 + round((size - smallest) / max(largest - smallest, 1) * (inner - 5))

    for point in shown:
        top, bottom = row_of(point.value + point.bar), row_of(point.value - point.bar)
        for row in range(max(top, 0), min(bottom, ROWS - 1) + 1):
            grid[row][column_of(point.size)] = "│" if blocks else "|"
    for point in shown:
        grid[row_of(point.value)][column_of(point.size)] = "●" if blocks else "o"
    for point in shown:
        _put_label(grid[row_of(point.value)], column_of(point.size), point.label)
    corner, line, bar = ("└", "─", "┤") if blocks else ("+", "-", "|")
    lines = [f"{'perplexity':>{margin}}"]
    for row, cells in enumerate(grid):
        tick = ticks[row // 3] if row % 3 == 0 else ""
        side = bar if tick else ("│" if blocks else "|")
        lines.append(f"{tick:>{margin}}{side}{''.join(cells)}")
    ends = human_bytes(smallest), human_bytes(largest)
    gap = max(inner - len(ends[0]) - len(ends[1]) - 1, 1)
    lines.append(" " * margin + corner + line * inner)
    lines.append(" " * (margin + 2) + ends[0] + " " * gap + ends[1])
    return [*lines, *caption(points)]


def caption(points: Sequence[Point]) -> list[str]:
    """What the bars are, if that needs saying."""
    if all(point.apart is None for point in points):
        return []
    return [f"bars: error of the difference to {points[0].label}"]


def _put_label(cells: list[str], at: int, label: str) -> None:
    """Right of a point if there is room, else left of it, else nowhere."""
    for start in (at + 2, at - 1 - len(label)):
        stop = start + len(label)
        if start >= 0 and stop <= len(cells) and not "".join(cells[start:stop]).strip("│| "):
            cells[start:stop] = label
            return
