"""Contrastive search: likely, but unlike what was said already (Su et al. 2022).

Of the k likeliest tokens v the one with the largest

    (1 - alpha) p(v) - alpha max_j cos(h_v, h_j)

comes next, with h the last hidden states of the candidate and of all tokens so far. Each step
evaluates the k candidates together, each in a sequence of its own, behind the token chosen last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.generation import CONTEXT, Continuation, check_length
from zigllm_cli.sampling.candidates import Candidates
from zigllm_cli.sampling.ranges import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zigllm_cli.engine.runner import Runner

Floats = NDArray[np.float32]


class ContrastiveSearch:
    """Drives a continuation whose chain is replaced by contrastive search.

    Args:
        runner: with k slots at least.
        k: candidates per step.
        alpha: from 0 (greedy) to 1 (as unlike as possible).
    """

    def __init__(self, runner: Runner, k: int, alpha: float) -> None:
        require("contrastive-k", k, 1)
        require("contrastive-alpha", alpha, 0, 1)
        self._runner, self._k, self._alpha = runner, k, alpha
        self._prompt = 0

    def run(self, continuation: Continuation) -> Iterator[str]:
        """Pieces of text as they come.

        Raises:
            UsageError: the prompt is longer than the context.
        """
        check_length(len(continuation.prompt), self._runner.context)
        if continuation.finish_reason:
            return
        logits, context = self._prefill(continuation.prompt)
        while True:
            everything = Candidates.of(logits)
            candidates = everything.top(self._k)
            shares = everything.probabilities()[candidates.ids]
            if len(continuation.tokens) == self._runner.context:
                piece = continuation.finish(CONTEXT)
            else:
                rows, hidden = self._evaluate(continuation.tokens, candidates.ids.tolist())
                likeness = (hidden @ context.T).max(axis=1)
                best = int(np.argmax((1 - self._alpha) * shares - self._alpha * likeness))
                piece = continuation.take(int(candidates.ids[best]))
                logits, context = rows[best], np.concatenate([context, hidden[best : best + 1]])
            if piece:
                yield piece
            if continuation.finish_reason:
                return

    def _prefill(self, prompt: Sequence[int]) -> tuple[Floats, Floats]:
        """Logits behind the prompt, the unit hidden states of its tokens; all slots hold it."""
        runner, parts = self._runner, []
        self._prompt = len(prompt)
        for slot in range(self._k):
            runner.truncate(slot, 0)
        for first in range(0, len(prompt), runner.batch):
            part = prompt[first : first + runner.batch]
            logits = runner.step(Batch.of(part, first, 0, outputs=range(len(part))))
            parts.append(runner.hidden(len(part)))
        for slot in range(1, self._k):
            runner.copy(0, slot)
        return logits[-1], unit(np.concatenate(parts))

    def _evaluate(self, tokens: Sequence[int], candidates: list[int]) -> tuple[Floats, Floats]:
        """Logits and unit hidden states behind each candidate.

        Behind the prompt every slot holds another candidate: it goes back by that one, and reads
        the token that was chosen in its place together with its next candidate.
        """
        runner, batch = self._runner, Batch([], [], [], [])
        for slot, candidate in enumerate(candidates):
            known = min(runner.length(slot), max(len(tokens) - 1, self._prompt))
            runner.truncate(slot, known)
            added = [*tokens[known:], candidate]
            batch.tokens += added
            batch.positions += range(known, known + len(added))
            batch.sequences += [slot] * len(added)
            batch.outputs.append(len(batch) - 1)
        rows = runner.step(batch)
        return rows, unit(runner.hidden(len(candidates)))


def unit(rows: Floats) -> Floats:
    """Rows of length 1."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled
