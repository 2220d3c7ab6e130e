"""Kernels called from tests: arguments from NumPy arrays, the state of a batch, 1 or 2 threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from zigllm_cli.jit import Kernel, call
from zigllm_cli.kernels import state as words
from zigllm_cli.simd import vector as vector  # settles the instruction set before any test runs

Run = Callable[..., None]


def word(value: Any) -> int:
    """An argument as its 64 bits: an array by address, a float by its bits."""
    if isinstance(value, np.ndarray):
        return int(value.ctypes.data)
    if isinstance(value, float):
        return int(np.float64(value).view(np.int64))
    return int(value or 0)


@pytest.fixture(scope="session")
def run() -> Run:
    """run(module, variant, arguments, threads=1): every thread's share, one after the other."""

    def run_kernel(
        module: str, variant: tuple[str | int, ...], arguments: Sequence[Any], threads: int = 1
    ) -> None:
        block = np.array([word(value) for value in arguments], np.int64)
        kernel = call(Kernel(module, variant))
        for thread in range(threads):
            kernel(block.ctypes.data, thread, threads)

    return run_kernel


@dataclass
class BatchState:
    """The block of words that kernels call `state`, and the arrays that it points to."""

    positions: np.ndarray
    sequences: np.ndarray
    ends: np.ndarray
    scratch: np.ndarray = field(default_factory=lambda: np.zeros(1, np.uint8))

    def __post_init__(self) -> None:
        self.block = np.zeros(words.WORDS, np.int64)
        self.block[words.TOKENS] = len(self.positions)
        self.block[words.POSITIONS] = self.positions.ctypes.data
        self.block[words.SEQUENCES] = self.sequences.ctypes.data
        self.block[words.ENDS] = self.ends.ctypes.data
        self.block[words.SCRATCH] = self.scratch.ctypes.data


@pytest.fixture(scope="session")
def batch_state() -> Callable[..., BatchState]:
    """batch_state(positions, sequences=0s, ends=positions + 1, scratch=none)."""

    def make(
        positions: Sequence[int],
        sequences: Sequence[int] | None = None,
        ends: Sequence[int] | None = None,
        scratch_bytes: int = 1,
    ) -> BatchState:
        places = np.asarray(positions, np.int64)
        return BatchState(
            places,
            np.zeros_like(places) if sequences is None else np.asarray(sequences, np.int64),
            places + 1 if ends is None else np.asarray(ends, np.int64),
            np.zeros(scratch_bytes, np.uint8),
        )

    return make
