"""Bars and histograms out of characters. Knows widths and characters, no console and no colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

LEVELS = " ▁▂▃▄▅▆▇█"
"""A column filled to 0, 1, ... 8 eighths."""
PARTS = " ▏▎▍▌▋▊▉█"
"""A bar filled to 0, 1, ... 8 eighths."""
ASCII_LEVELS = " .:|#"


def blocks_wanted(stream: TextIO) -> bool:
    """Whether the stream can show block characters and dots: its encoding is a Unicode one."""
    return "utf" in (getattr(stream, "encoding", None) or "").lower()


def bar(fraction: float, width: int, *, blocks: bool = True) -> str:
    """A bar of at most `width` columns, filled to `fraction` (0 to 1); empty only for 0."""
    fraction = min(max(fraction, 0.0), 1.0)
    if not blocks:
        return "#" * max(round(fraction * width), fraction > 0)
    eighths = max(round(fraction * width * 8), fraction > 0)
    whole, part = divmod(eighths, 8)
    return "█" * whole + (PARTS[part] if part else "")


def histogram(counts: Sequence[int], height: int, width: int, *, blocks: bool = True) -> list[str]:
    """Columns over a line, `height` rows from top to bottom, at most `width` columns wide.

    Neighbouring bins are put together until they fit. A bin that is not empty is always visible.
    """
    merged = list(counts)
    while len(merged) > max(width, 1):
        merged = [sum(merged[i : i + 2]) for i in range(0, len(merged), 2)]
    levels = LEVELS if blocks else ASCII_LEVELS
    steps = len(levels) - 1
    top = max(merged, default=0) or 1
    filled = [max(round(count / top * height * steps), count > 0) for count in merged]
    return [
        "".join(levels[min(max(fill - row * steps, 0), steps)] for fill in filled)
        for row in reversed(range(height))
    ]


def ruler(low: str, high: str, width: int) -> str:
    """The ends of a scale below a chart: `low` at its left, `high` at its right edge."""
    gap = width - len(low) - len(high)
    return f"{low}{' ' * gap}{high}" if gap > 0 else f"{low} .. {high}"
