"""Loads and stores: the right bytes, and not one more (behind all memory here a fault waits)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zigllm_cli.simd import memory as ops
from zigllm_cli.simd import vector as v
from zigllm_cli.simd.wait import pause

Array = np.ndarray[Any, np.dtype[Any]]
Apply = Callable[..., Array]
InMemory = Callable[[Array], Any]


@pytest.fixture
def some(rng: np.random.Generator) -> Callable[[int], Array]:
    """some(n): three rows of n random bytes, an odd number: most addresses are unaligned."""
    return lambda n: rng.integers(0, 256, (3, n), np.uint8)


LOADERS = [
    name.removeprefix("load_") for name in dir(ops) if isinstance(getattr(v, name[5:], None), v.Vec)
]


def test_all_loaders_are_tried() -> None:
    assert {"u8x16", "u8x64", "i8x64", "u16x32", "i32x16", "u32x16", "f32x16"} <= set(LOADERS)


@pytest.mark.parametrize("name", LOADERS)
def test_load_vectors(apply: Apply, memory: InMemory, some: Any, name: str) -> None:
    vec = getattr(v, name)
    size = vec.lanes * int(vec.element[1:]) // 8
    rows = some(size + 1)  # the byte in front of each
    got = apply(getattr(ops, f"load_{name}"), vec, _shifted(memory(rows)))
    assert got.tobytes() == rows[:, 1:].tobytes()


def _shifted(inside: Any) -> Any:
    """The same rows without their first bytes."""
    start = inside.rows[:, 1:]
    return type(inside)(_View(start, inside.size))


class _View(np.ndarray):  # type: ignore[type-arg]
    """Rows that are farther apart than they are long."""

    def __new__(cls, rows: Array, step: int) -> _View:
        view = rows.view(cls)
        view.step = step
        return view

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            return np.empty(self.step, np.uint8)
        return super().__getitem__(index)
