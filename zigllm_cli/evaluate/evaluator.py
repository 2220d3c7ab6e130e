"""Runs windows through models, and compares what they say with a base model or saved logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from zigllm_cli.engine.scoring import NO_FLOOR, Floats, Scorer, Scores
from zigllm_cli.errors import InputError, ZigllmError
from zigllm_cli.evaluate.chunks import BaseFigures, Chunk, Sizes, TokenFigures, chunk_of
from zigllm_cli.evaluate.steps import Step, companions, groups, steps
from zigllm_cli.evaluate.windows import Window
from zigllm_cli.model import Model

BATCH = 512
"""Most tokens of a step."""


@dataclass(frozen=True)
class Rows:
    """Logits of a step and what they say of its targets.

    Attributes:
        logits: float32 [targets, vocabulary], until the next step.
        scores: of the targets.
        floor: log-probabilities that are not above it do not count; see `Scorer.divergence`.
    """

    logits: Floats
    scores: Scores
    floor: float = NO_FLOOR


Listener = Callable[[Step, Rows], None]


class Base(Protocol):
    """What models are measured against."""

    @property
    def vocabulary(self) -> int:
        """Logits per row."""

    def begin(self) -> None:
        """Forget the windows before."""

    def rows(self, step: Step) -> Rows:
        """Its logits for a step."""


class Contender:
    """A model that is evaluated.

    Attributes:
        model: as it was opened.
        runner: its engine.
        vocabulary: logits per row.
        sizes: of its tokens.
        seconds: spent in it so far.
        tokens: evaluated so far.
    """

    def __init__(self, model: Model, length: int) -> None:
        self.model = model
        self.runner = model.runner(length, sequences=companions(BATCH, length))
        self.vocabulary = self.runner.vocabulary
        self.sizes = Sizes(model.tokenizer)
        self.seconds, self.tokens = 0.0, 0
        self._scorer = Scorer(self.runner, model.options.progress)

    def begin(self) -> None:
        """Empty the cache."""
        for slot in range(self.runner.sequences):
            self.runner.truncate(slot, 0)

    def rows(self, step: Step) -> Rows:
        """Evaluate a step.

        Raises:
            InputError: a token is not in the vocabulary.
            ZigllmError: the model gives what is not a number.
        """
        with self._timed():
            logits = self.runner.step_in_place(step.batch)
            scores = self._scorer.score(logits, step.targets)
        self.tokens += len(step.batch)
        if not np.isfinite(scores.log_sums).all():
            chunk = step.parts[0].window.number + 1
            raise ZigllmError(
                f"{self.model.file.path} gives logits that are not finite in chunk {chunk}; "
                "the file may be damaged: see 'zigllm inspect --check'"
            )
        return Rows(logits, scores)

    def figures(self, step: Step, own: Rows, base: Rows | None) -> TokenFigures:
        """Of a step's targets, compared with a base's rows if there are any."""
        tokens, scores = np.array(step.targets, np.int64), own.scores
        if base is None:
            return TokenFigures(tokens, scores.log_probs, scores.ranks)
        with self._timed():
            divergences = self._scorer.divergence(
                *(base.logits, base.scores.log_sums),
                *(own.logits, scores.log_sums),
                floor=base.floor,
            )
        same = base.scores.tops == scores.tops
        compared = BaseFigures(base.scores.log_probs, divergences, same)
        return TokenFigures(tokens, scores.log_probs, scores.ranks, compared)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds += perf_counter() - start

    def close(self) -> None:
        """End its threads."""
        self.runner.close()


def evaluate(
    windows: Iterable[Window],
    contenders: Sequence[Contender],
    base: Base | None = None,
    *,
    keep_tokens: bool = False,
    listen: Listener | None = None,
) -> Iterator[tuple[Chunk, ...]]:
    """The figures of each window, one for each contender.

    Args:
        windows: of a text.
        contenders: models with one vocabulary.
        base: what they are measured against: one of them, another model, or saved logits.
        keep_tokens: whether each token's figures are kept, beside the sums.
        listen: told the rows of the first contender, while they are there.

    Raises:
        InputError: the vocabularies differ, or a token is in none.
    """
    for contender in contenders:
        if base is not None and contender.vocabulary != base.vocabulary:
            raise InputError(
                f"{contender.model.file.path} has a vocabulary of {contender.vocabulary} tokens, "
                f"but the base one of {base.vocabulary}; only models with the same can be compared"
            )
    runner = contenders[0].runner
    for group in groups(windows, runner.batch, runner.context):
        for one in (*contenders, *([] if base is None else [base])):
            one.begin()
        measured = [_measure(step, contenders, base, listen) for step in steps(group, runner.batch)]
        columns = [
            _chunks(group, TokenFigures.joined(parts), contender.sizes, keep_tokens)
            for contender, parts in zip(contenders, zip(*measured, strict=True), strict=True)
        ]
        yield from zip(*columns, strict=True)


def _measure(
    step: Step, contenders: Sequence[Contender], base: Base | None, listen: Listener | None
) -> list[TokenFigures]:
    """One step's figures for each contender; the base is asked once, also if it is one of them."""
    base_rows = None if base is None else base.rows(step)
    found: list[TokenFigures] = []
    for contender in contenders:
        is_base = base_rows is not None and contender is base
        own = base_rows if is_base and base_rows else contender.rows(step)
        if listen is not None and not found:
            listen(step, own)
        found.append(contender.figures(step, own, base_rows))
    return found


def _chunks(
    group: Sequence[Window], figures: TokenFigures, sizes: Sizes, keep: bool
) -> Iterator[Chunk]:
    """Figures of a group's tokens, window by window."""
    first = 0
    for window in group:
        last = first + len(window.targets)
        yield chunk_of(window, figures.part(first, last), sizes, keep=keep)
        first = last
    assert first == len(figures)
