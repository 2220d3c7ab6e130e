"""Beam search: the likeliest text as a whole, not the likeliest token each time.

Several beginnings (beams) are continued together; of all their continuations the likeliest stay.
The score of a finished text is the logarithm of its probability divided by its length to the
power of `length_penalty`, as in transformers, whose results are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.generation import check_length
from zigllm_cli.engine.session import Session, Slots, eval_together
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    from zigllm_cli.engine.runner import Runner


@dataclass(frozen=True)
class Beam:
    """A text and how likely it is.

    Attributes:
        ids: tokens behind the prompt, without an end token.
        log_probability: of all of them together, natural.
        is_ended: whether an end token came.
    """

    ids: tuple[int, ...]
    log_probability: float
    is_ended: bool = False

    def score(self, length_penalty: float) -> float:
        """By which beams are compared; an end token counts for the length."""
        length = max(len(self.ids) + self.is_ended, 1)
        return self.log_probability / float(length**length_penalty)


def beam_search(
    runner: Runner,
    prompt: Sequence[int],
    *,
    beams: int,
    ends: Collection[int],
    max_tokens: int,
    length_penalty: float = 1.0,
) -> list[Beam]:
    """The likeliest texts, best first.

    Args:
        runner: with at least two slots per beam.
        ends: end tokens.
        max_tokens: most tokens of a text; a full context ends it too.

    Raises:
        UsageError: the prompt is too long, or there is none.
    """
    check_length(len(prompt), runner.context)
    if not prompt:
        raise UsageError("the prompt is empty, and this model begins no text by itself")
    search = _Search(beams, ends, length_penalty)
    slots = Slots(runner)
    root = Session(runner, slots.take(), slots)
    rows = root.eval(prompt)[None]
    active, sessions = [Beam((), 0.0)], [root]
    length = min(max_tokens, runner.context - len(prompt))
    for step in range(length):
        parents, active = search.extend(active, rows)
        if not active or search.is_settled(active) or step == length - 1:
            break
        sessions = _follow(sessions, parents)
        rows = eval_together(sessions, [beam.ids[-1] for beam in active])
    for session in sessions:
        session.close()
    return search.best(active)


def _follow(sessions: list[Session], parents: Sequence[int]) -> list[Session]:
    """A session for each beam, holding what its parent holds; a parent's own is used first."""
    free = {parent: sessions[parent] for parent in parents}
    for number, session in enumerate(sessions):
        if number not in free:
            session.close()
    followed = [free.pop(parent) if parent in free else None for parent in parents]
    firsts = {parent: s for parent, s in zip(parents, followed, strict=True) if s is not None}
    return [
        session if session is not None else firsts[parent].fork()
        for parent, session in zip(parents, followed, strict=True)
    ]


class _Search:
    """Which beams stay, and which are finished."""

    def __init__(self, beams: int, ends: Collection[int], length_penalty: float) -> None:
        self._beams, self._ends, self._penalty = beams, ends, length_penalty
        self._finished: list[Beam] = []

    def extend(
        self, active: Sequence[Beam], rows: NDArray[np.float32]
    ) -> tuple[list[int], list[Beam]]:
        """The likeliest continuations that have not ended, and the beam that each comes from."""
        totals = log_softmax(rows) + np.array([[beam.log_probability] for beam in active])
        count = min((1 + len(self._ends)) * self._beams, totals.size)
        picks = np.argpartition(totals.ravel(), -count)[-count:]
        picks = picks[np.lexsort((picks, -totals.ravel()[picks]))]
        parents: list[int] = []
        following: list[Beam] = []
        for rank, pick in enumerate(picks.tolist()):
            parent, token = divmod(pick, totals.shape[1])
            total = float(totals[parent, token])
            if token in self._ends:
                if rank < self._beams:
                    self._finish(Beam(active[parent].ids, total, is_ended=True))
            elif len(following) < self._beams and total > -np.inf:
                parents.append(parent)
                following.append(Beam((*active[parent].ids, token), total))
        return parents, following

    def _finish(self, beam: Beam) -> None:
        self._finished = self.best([beam])

    def is_settled(self, active: Sequence[Beam]) -> bool:
        """Whether no beam can become better than all that are finished."""
        if len(self._finished) < self._beams:
            return False
        return active[0].score(self._penalty) <= self._finished[-1].score(self._penalty)

    def best(self, others: Sequence[Beam]) -> list[Beam]:
        """The finished ones and others, as many as there are beams, the best first."""
        everything = [*self._finished, *others]
        everything.sort(key=lambda beam: -beam.score(self._penalty))
        return everything[: self._beams]


def log_softmax(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logarithms of the probabilities, row by row, float64."""
    shifted = rows.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs
