"""Tail-free sampling: cut where the curve of sorted probabilities has become flat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require


@dataclass(frozen=True)
class TailFree:
    """Keep candidates until z of the curvature is behind (Phénix and Egan 2019).

    The curvature at a place of the sorted probabilities is |p[i] - 2 p[i+1] + p[i+2]|; its sum is
    taken as 1. It is counted for the candidate in the middle, as in the authors' program.
    """

    z: float
    name: ClassVar[str] = "tail_free"

    def __post_init__(self) -> None:
        require("tail-free", self.z, 0, 1, note="1 is off")

    @property
    def is_idle(self) -> bool:
        return self.z >= 1

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """Those before the tail, sorted; all where there is no curvature."""
        ordered = candidates.sorted()
        curvature = np.abs(np.diff(ordered.probabilities(), n=2))
        if not curvature.sum():
            return ordered
        reached = np.cumsum(curvature / curvature.sum())
        return ordered.take(slice(int(np.searchsorted(reached, self.z, side="right")) + 1))
