"""Which tokens can lie at a place: what all kinds that match a list of tokens have in common.

A trie of 150,000 tokens takes Python a second to build. A table of the lengths that occur behind
the same first characters takes a tenth of that, and asking the dictionary of tokens for each of
these lengths (a few of them) is faster than walking a trie.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

WIDTH = 2
"""Characters that say which lengths to try: with fewer, common starts have too many lengths."""

MAX_STARTS = 1 << 17
"""Starts that are remembered; hostile text could bring a new one with every character."""


class StartTable(dict[str, tuple[int, ...]]):
    """`table[text[i : i + WIDTH]]`: lengths of the tokens that may begin at `i`.

    They may end beyond the text, so the caller checks.

    Args:
        tokens: the texts that can be found.
        longest_first: the order of the lengths.
    """

    def __init__(self, tokens: Iterable[str], *, longest_first: bool) -> None:
        super().__init__()
        found: defaultdict[str, set[int]] = defaultdict(set)
        for token in tokens:
            found[token[:WIDTH]].add(len(token))
        for start, lengths in found.items():
            for length in range(1, len(start)):
                if start[:length] in found:
                    lengths.add(length)
            self[start] = tuple(sorted(lengths, reverse=longest_first))

    def __missing__(self, start: str) -> tuple[int, ...]:
        # No token begins like this, but shorter ones may lie in it.
        lengths = self[start[:-1]] if start else ()
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
