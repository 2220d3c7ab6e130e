"""Which tokens can lie at a place: what all kinds that match a list of tokens have in common.

A trie of 150,000 tokens takes Python a second to build. A table of the lengths that occur behind
each pair of first characters takes 0.05 s, and asking the dictionary of tokens for each of these
lengths (some five of them) is as fast as walking a trie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

MAX_STARTS = 1 << 17
"""Pairs that are remembered; hostile text could bring a new one with every character."""


class StartTable(dict[str, tuple[int, ...]]):
    """`table[text[i : i + 2]]`: lengths of the tokens that may begin at `i`.

    They may end beyond the text, so the caller checks.

    Args:
        tokens: the texts that can be found.
        longest_first: the order of the lengths.
    """

    def __init__(self, tokens: Iterable[str], *, longest_first: bool) -> None:
        super().__init__()
        found: dict[str, set[int]] = {}
        for token in tokens:
            found.setdefault(token[:2], set()).add(len(token))
        for start, lengths in found.items():
            if start[:1] in found:
                lengths.add(1)
            self[start] = tuple(sorted(lengths, reverse=longest_first))

    def __missing__(self, start: str) -> tuple[int, ...]:
        lengths = self[start[0]] if len(start) > 1 else ()
        if len(self) < MAX_STARTS:
            self[start] = lengths
        return lengths


def cut_before(space: str, tokens: Iterable[str]) -> Callable[[str], list[str]]:
    """A function that cuts a text before spaces where no token can lie across.

    What is cut there can be encoded piece by piece with the same ids as the whole text.
    """
    crossed = {
        token[at - 1]
        for token in tokens
        if space in token[1:]
        for at in range(1, len(token))
        if token[at] == space
    }
    behind = "".join(map(re.escape, sorted(crossed | {space})))
    pattern = re.compile(f"(?<=[^{behind}])(?={re.escape(space)})")
    return pattern.split
