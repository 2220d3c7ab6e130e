"""A curve of losses out of characters. Knows numbers and widths, no console."""

from __future__ import annotations

from collections.abc import Sequence

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The dots of a Braille character: four rows of two."""


def curve(
    losses: Sequence[float], width: int, height: int, *, steps: int, blocks: bool = True
) -> list[str]:
    """Lines of a picture of at most `width` columns, its scale at the left.

    Every dot is the mean of the steps that fall on it, so noise of single batches does not hide
    where the loss goes.

    Args:
        steps: how many there will be: the picture fills from left to right.
        blocks: whether Braille characters can be shown.
    """
    room = width - 8
    if room < 8 or not losses:
        return []
    across, down = (2, 4) if blocks else (1, 1)
    means = _means(losses, room * across, max(steps, len(losses)))
    low, high = min(means.values()), max(means.values())
    span = high - low or 1.0
    rows = [[0] * room for _ in range(height)]
    last = height * down - 1
    for place, mean in means.items():
        level = round((high - mean) / span * last)
        row, column = level // down, place // across
        rows[row][column] |= DOTS[level % 4][place % 2] if blocks else 1
    drawn = ["".join(_character(cell, blocks) for cell in row).rstrip() for row in rows]
    labels = {0: f"{high:.3f}", height - 1: f"{low:.3f}"}
    return [f"{labels.get(i, ''):>7} {line}".rstrip() for i, line in enumerate(drawn)]


def _means(losses: Sequence[float], places: int, steps: int) -> dict[int, float]:
    """The mean loss of the steps of each place that has any."""
    sums: dict[int, list[float]] = {}
    for step, loss in enumerate(losses):
        total = sums.setdefault(step * places // steps, [0.0, 0.0])
        total[0] += loss
        total[1] += 1
    return {place: total / count for place, (total, count) in sums.items()}


def _character(cell: int, blocks: bool) -> str:
    if not cell:
        return " "
    return chr(0x2800 + cell) if blocks else "*"
