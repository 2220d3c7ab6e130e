"""The points of a code book, and for every other point those of them that lie around it.

Values are rounded to a point of eight digits 0..2 (IQ1, IQ2) or four digits 0..7 (IQ3); the book
holds only some. What is not in the book is searched for among its nearest entries: those of the
one, two or three least distances, nearer ones first and then by number, as ggml lists them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from zigllm_cli.quants.grids import codes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DISTANCES = {"IQ1_S": 3, "IQ2_XXS": 2, "IQ2_XS": 2, "IQ2_S": 1, "IQ3_XXS": 2, "IQ3_S": 3}
"""How many different distances the neighbours of a point may have."""

GROUP = 16
"""Neighbours are listed in groups of so many, the last of a point filled up with its last."""


@cache
def tables(name: str) -> NDArray[np.uint8]:
    """A code book for encoders, with P points and G groups:

    number  int32 [P]           the entry's number, or -1 - (its first group)
    groups  int32 [P]           how many groups the point has, 0 for entries
    points  uint16 [G, 16]      the neighbours, as points

    A point is a number whose lowest bits, two or three, are its first digit.
    """
    import numpy as np

    book = codes(name).astype(np.int32)
    width, bits = book.shape[1], 16 // book.shape[1] if book.shape[1] == 8 else 3
    shifts = bits * np.arange(width)
    entries = (book << shifts).sum(axis=1)
    digits = np.indices((3 if bits == 2 else 8,) * width).reshape(width, -1).T
    points = (digits << shifts).sum(axis=1)
    is_entry = np.isin(points, entries)
    digits, points = digits[~is_entry], points[~is_entry]
    lists = _lists(digits, book, DISTANCES[name])
    number = np.zeros(1 << bits * width, np.int32)
    groups = np.zeros_like(number)
    number[entries] = np.arange(len(entries))
    groups[points] = [len(found) // GROUP for found in lists]
    number[points] = -1 - (np.cumsum(groups[points]) - groups[points])
    neighbours = entries[np.concatenate(lists)].astype(np.uint16)
    return np.concatenate([part.view(np.uint8) for part in (number, groups, neighbours)])


def _lists(
    digits: NDArray[np.int32], book: NDArray[np.int32], wanted: int
) -> list[NDArray[np.int64]]:
    """Numbers of entries around each point, nearest first, filled up to whole groups."""
    import numpy as np

    result = []
    squares = (book * book).sum(axis=1)
    for start in range(0, len(digits), 512):
        chunk = digits[start : start + 512]
        # exact in floats: all are small whole numbers
        products = chunk.astype(np.float32) @ book.T.astype(np.float32)
        distances = squares - 2 * products.astype(np.int32) + (chunk * chunk).sum(axis=1)[:, None]
        bound = distances.min(axis=1, keepdims=True)
        for _ in range(wanted - 1):
            farther = np.where(distances > bound, distances, np.iinfo(np.int32).max)
            bound = farther.min(axis=1, keepdims=True)
        for row, limit in zip(distances, bound[:, 0], strict=True):
            near = np.flatnonzero(row <= limit)
            near = near[np.argsort(row[near], kind="stable")]
            fill = -len(near) % GROUP
            result.append(np.concatenate([near, np.repeat(near[-1:], fill)]))
    return result
