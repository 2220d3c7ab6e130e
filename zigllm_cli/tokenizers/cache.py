"""Words that were encoded before: natural text repeats itself, and a look-up costs 50 ns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

MAX_WORD = 100
"""Longer words are encoded every time: they hardly repeat and would fill the memory."""

MAX_WORDS = 1 << 18
"""When the cache is full it starts anew; English text of 1 MB has some 13,000 words."""


class WordCache(dict[str, list[int]]):
    """Ids by word; a missing word is encoded on look-up."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, word: str) -> list[int]:
        ids = self._encode(word)
        if len(word) <= MAX_WORD:
            if len(self) >= MAX_WORDS:
                self.clear()
            self[word] = ids
        return ids

    def encode_all(self, words: Iterable[str]) -> list[int]:
        """The ids of all words, one after the other."""
        return list(chain.from_iterable(map(self.__getitem__, words)))
