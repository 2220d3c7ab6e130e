"""How a text became tokens, step by step, for `zigllm tokenize --explain` and for debugging."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One merge.

    Attributes:
        symbols: all symbols after it.
        reason: what made it the next one, such as "rank 12".
    """

    symbols: list[str]
    reason: str


@dataclass(frozen=True)
class Explanation:
    """One pre-token, or one special token.

    Attributes:
        text: as it stands in the input.
        symbols: what it was cut into before the first merge; empty where the kind does not merge.
        steps: the merges in order.
        ids: the tokens it became.
    """

    text: str
    ids: list[int]
    symbols: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
