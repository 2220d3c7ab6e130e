"""What one step of the engine evaluates: tokens, where they stand, and whose logits are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass
class Batch:
    """Tokens to evaluate in one go, of one sequence or of several.

    Attributes:
        tokens: ids.
        positions: where each stands in its sequence.
        sequences: the slot of each one's sequence.
        outputs: indices into `tokens` of those whose logits are wanted.
    """

    tokens: list[int]
    positions: list[int]
    sequences: list[int]
    outputs: list[int]

    @classmethod
    def of(
        cls, tokens: Sequence[int], start: int, slot: int, outputs: Iterable[int] | None = None
    ) -> Batch:
        """Neighbouring tokens of one sequence, the first at position `start`.

        The logits of the last one are wanted unless `outputs` says otherwise.
        """
        count = len(tokens)
        return cls(
            tokens=list(tokens),
            positions=list(range(start, start + count)),
            sequences=[slot] * count,
            outputs=[count - 1] if outputs is None else list(outputs),
        )

    def append(self, other: Batch) -> None:
        """Put another batch behind this one."""
        self.outputs += [len(self.tokens) + output for output in other.outputs]
        self.tokens += other.tokens
        self.positions += other.positions
        self.sequences += other.sequences

    def __len__(self) -> int:
        return len(self.tokens)
