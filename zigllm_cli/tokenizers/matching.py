"""Which tokens can start at a place: the one question behind all longest-match tokenizers.

A trie of 150,000 tokens takes Python a second to build. A table of the lengths that occur behind
each pair of first characters takes 0.05 s, and asking the dictionary of tokens for each of these
lengths (some five of them) is as fast as walking a trie.
"""

from __future__ import annotations

from collections.abc import Iterable

Lengths = dict[str, tuple[int, ...]]


class StartTable:
    """Lengths of the tokens that begin like a text.

    Args:
        tokens: the texts that can be found.
        longest_first: the order of the lengths.
    """

    def __init__(self, tokens: Iterable[str], *, longest_first: bool) -> None:
        found: dict[str, set[int]] = {}
        for token in tokens:
            found.setdefault(token[:2], set()).add(len(token))
        for start, lengths in found.items():
            if start[:1] in found:
                lengths.add(1)
        self._lengths: Lengths = {
            start: tuple(sorted(lengths, reverse=longest_first)) for start, lengths in found.items()
        }

    def at(self, text: str, position: int) -> tuple[int, ...]:
        """Lengths that a token at `position` can have; it may still lie beyond the end."""
        find = self._lengths.get
        return find(text[position : position + 2]) or find(text[position : position + 1], ())
