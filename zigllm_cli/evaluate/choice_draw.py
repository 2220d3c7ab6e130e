"""Which tasks are drawn when not all are wanted: the same ones as llama-perplexity's.

It draws with the Mersenne Twister of C++ (mt19937, seed 1): for hellaswag one place at a time
among those that are left, by libstdc++'s `uniform_int_distribution` (Lemire 2019,
arXiv:1805.10941); for the others a float times the number left, the last one taking the place of
the one drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

Task = TypeVar("Task")
WORD = 1 << 32


def draw(kind: str, tasks: Sequence[Task], count: int | None) -> list[Task]:
    """`count` of the tasks in the order they are drawn, or all as they are.

    Hellaswag's tasks are drawn even if all are wanted, so that the running score settles early.
    """
    wanted = len(tasks) if count is None else min(count, len(tasks))
    if kind == "winogrande" and wanted < len(tasks):
        tasks = tasks[:-1]  # llama-perplexity never sees the last row of such a file
    if kind == "hellaswag":
        return [tasks[i] for i in _one_by_one(len(tasks), wanted)]
    if wanted == len(tasks):
        return list(tasks)
    return [tasks[i] for i in _swapped(len(tasks), wanted)]


def _words() -> Callable[[], int]:
    """mt19937(1): a function that gives its next 32 bits."""
    generator = np.random.RandomState(1)
    return lambda: int(generator.randint(0, WORD, dtype=np.uint32))


def _one_by_one(count: int, wanted: int) -> Iterator[int]:
    word, left = _words(), list(range(count))
    for _ in range(wanted):
        yield left.pop(_uniform(word, len(left)))


def _uniform(word: Callable[[], int], below: int) -> int:
    """A number from 0 to below - 1, without bias."""
    product = word() * below
    if product % WORD < below:
        while product % WORD < (WORD - below) % below:
            product = word() * below
    return product // WORD


def _swapped(count: int, wanted: int) -> Iterator[int]:
    word, left, scale = _words(), list(range(count)), np.float32(1 / WORD)
    for _ in range(wanted):
        at = int(scale * np.float32(word()) * np.float32(len(left)))
        at = min(at, len(left) - 1)  # what float32 rounds up would lie behind the end
        yield left[at]
        left[at] = left[-1]
        left.pop()
