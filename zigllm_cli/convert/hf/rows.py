"""Rows of attention's matrices, brought into the order that GGUF wants."""

from __future__ import annotations

import numpy as np

from zigllm_cli.convert.values import Array, Values
from zigllm_cli.errors import InputError


def to_neighbours(values: Values, heads: int) -> Values:
    """Rows of query or key heads from rotated halves (i, i + n/2) to rotated neighbours (2i, 2i+1).

    Raises:
        InputError: the rows are not whole heads.
    """
    rows, rest = values.shape[0], values.shape[1:]
    if rows % (2 * heads):
        raise InputError(f"{values.name} of {rows} rows does not have {heads} heads")
    halves = (heads, 2, rows // heads // 2, *rest)
    return values.moved(
        values.shape, lambda array: array.reshape(halves).swapaxes(1, 2).reshape(values.shape)
    )


def to_halves(values: Values, heads: int) -> Values:
    """Rows of heads from rotated neighbours to rotated halves: `to_neighbours` undone."""
    rows, rest = values.shape[0], values.shape[1:]
    pairs = (heads, rows // heads // 2, 2, *rest)
    return values.moved(
        values.shape, lambda array: array.reshape(pairs).swapaxes(1, 2).reshape(values.shape)
    )


def grouped_to_parts(values: Values, groups: int, sizes: tuple[int, ...], width: int) -> Values:
    """Fused rows from [group][query heads, key, value] to all queries, all keys, all values.

    Args:
        sizes: heads of each kind in a group.
        width: rows of a head.

    Raises:
        InputError: the rows are not so many.
    """
    rest = values.shape[1:]
    if values.shape[0] != groups * sum(sizes) * width:
        raise InputError(
            f"{values.name} of {values.shape[0]} rows is not {groups} groups of {sum(sizes)} heads"
        )

    def move(array: Array) -> Array:
        heads = array.reshape(groups, sum(sizes), width, *rest)
        cuts = np.cumsum(sizes)[:-1]
        parts = [part.reshape(-1, *rest) for part in np.split(heads, cuts, axis=1)]
        return np.concatenate(parts)

    return values.moved(values.shape, move)
