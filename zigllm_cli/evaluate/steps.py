"""Windows to steps of the engine: several short windows share one, long ones take several.

Whether a step is for one, a few or many tokens decides which kernels run, and so the last bits.
Windows share a step only if each would get the kernels for many tokens by itself: then the
figures of each are the same in any company.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from zigllm_cli.engine.batch import Batch
from zigllm_cli.evaluate.windows import Window
from zigllm_cli.plan.lowering import Mode


@dataclass(frozen=True)
class Part:
    """The scored tokens of a window that a step scores: `first` to `last` - 1 of its targets."""

    window: Window
    first: int
    last: int


@dataclass(frozen=True)
class Step:
    """What the engine evaluates in one go.

    Attributes:
        batch: tokens; its outputs are the positions before those that are scored.
        targets: the token scored at each output.
        parts: where the targets stand, in order.
    """

    batch: Batch
    targets: tuple[int, ...]
    parts: tuple[Part, ...]


def groups(windows: Iterable[Window], batch: int, length: int) -> Iterator[list[Window]]:
    """Windows that are evaluated together, each in a slot of its own.

    Args:
        batch: most tokens of a step.
        length: most tokens of a window.
    """
    most = companions(batch, length)
    group: list[Window] = []
    for window in windows:
        if group and not (len(group) < most and may_share(group[0]) and may_share(window)):
            yield group
            group = []
        group.append(window)
    if group:
        yield group


def companions(batch: int, length: int) -> int:
    """How many windows fit in a step; at least 1."""
    return max(batch // length, 1)


def may_share(window: Window) -> bool:
    """Whether a window gets the same kernels alone and in company."""
    counts = len(window.tokens), len(window.targets)
    return all(Mode.of(count) is Mode.MANY for count in counts)


def steps(group: Sequence[Window], batch: int) -> Iterator[Step]:
    """The steps of a group; a window that stands alone may take several."""
    if len(group) > 1:
        pieces = [_piece(window, slot, 0, len(window.tokens)) for slot, window in enumerate(group)]
        yield _joined(pieces)
        return
    (window,) = group
    for first in range(0, len(window.tokens), batch):
        yield _piece(window, 0, first, min(first + batch, len(window.tokens)))


def _piece(window: Window, slot: int, first: int, last: int) -> Step:
    """The tokens `first` to `last` - 1 of a window; each position scores the token behind it."""
    scoring = range(max(window.scored - 1, first), min(last, len(window.tokens) - 1))
    batch = Batch.of(window.tokens[first:last], first, slot, [at - first for at in scoring])
    targets = tuple(window.tokens[at + 1] for at in scoring)
    begin = scoring.start + 1 - window.scored
    return Step(batch, targets, (Part(window, begin, begin + len(targets)),))


def _joined(pieces: Sequence[Step]) -> Step:
    batch = Batch([], [], [], [])
    for piece in pieces:
        batch.outputs += [len(batch) + at for at in piece.batch.outputs]
        batch.tokens += piece.batch.tokens
        batch.positions += piece.batch.positions
        batch.sequences += piece.batch.sequences
    targets = tuple(target for piece in pieces for target in piece.targets)
    return Step(batch, targets, tuple(part for piece in pieces for part in piece.parts))
