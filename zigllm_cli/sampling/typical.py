"""Locally typical sampling: what is about as surprising as the model expects to be surprised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.chain import State
from zigllm_cli.sampling.ranges import require


@dataclass(frozen=True)
class Typical:
    """Keep candidates whose surprise is nearest to the entropy, up to p (Meister et al. 2022)."""

    p: float
    name: ClassVar[str] = "typ_p"

    def __post_init__(self) -> None:
        require("typical", self.p, 0, 1, note="1 is off")

    @property
    def is_idle(self) -> bool:
        return self.p >= 1

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """The most typical first; the last one is that with which their sum passes p."""
        possible = candidates.sorted()
        surprise = -possible.log_probabilities()
        order = np.argsort(np.abs(surprise - possible.entropy()), kind="stable")
        reached = np.cumsum(possible.probabilities()[order])
        count = int(np.searchsorted(reached, self.p, side="right")) + 1
        picks = order[:count]
        return Candidates(possible.ids[picks], possible.logits[picks])
