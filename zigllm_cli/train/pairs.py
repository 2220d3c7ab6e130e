"""Which pairs byte-pair encoding merges: the most frequent one, again and again.

Sennrich et al. 2016 (arXiv:1508.07909) over distinct words with their counts. A merge changes only
the words that hold its pair, so an index from pairs to words and a heap of counts, corrected when
they surface, make the cost of a merge that of those words: 3 MB of stories take a second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from itertools import pairwise

Pair = tuple[int, int]


def learn_merges(words: Mapping[str, int], alphabet: str, limit: int) -> Iterator[tuple[str, str]]:
    """Merges in the order they are learned, until they have made `limit` symbols or no pair is met
    twice.

    Of two pairs that are equally frequent, the one of older symbols comes first, those of
    `alphabet` being older than all merges: the result depends on nothing but the arguments.

    Args:
        words: how often each word occurs; merges do not cross their ends.
        alphabet: every character of the words.
    """
    symbols = list(alphabet)
    numbers = {character: i for i, character in enumerate(alphabet)}
    table = _PairTable(words, numbers)
    while len(numbers) < len(alphabet) + limit:
        pair = table.most_frequent()
        if pair is None:
            return
        left, right = symbols[pair[0]], symbols[pair[1]]
        yield left, right
        # Another pair may have made the same symbol before.
        new = numbers.setdefault(left + right, len(numbers))
        if new == len(symbols):
            symbols.append(left + right)
        table.merge(pair, new)


class _PairTable:
    """The words as symbol numbers, and how often each pair of neighbours occurs in them."""

    def __init__(self, words: Mapping[str, int], numbers: Mapping[str, int]) -> None:
        self._words = [[numbers[character] for character in word] for word in words]
        self._weights = list(words.values())
        self._counts: defaultdict[Pair, int] = defaultdict(int)
        self._holders: defaultdict[Pair, set[int]] = defaultdict(set)
        for at in range(len(self._words)):
            self._count(at, 1)
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapify(self._heap)

    def most_frequent(self) -> Pair | None:
        """The pair to merge next; None where every pair occurs once at most."""
        while self._heap:
            negative, pair = self._heap[0]
            count = self._counts.get(pair, 0)
            if count == -negative:
                return pair if count > 1 else None
            if count:  # it has become rarer since it was put there
                heapreplace(self._heap, (-count, pair))
            else:
                heappop(self._heap)
        return None

    def merge(self, pair: Pair, new: int) -> None:
        """Replace `pair` by the symbol `new` in every word, from left to right."""
        met: set[Pair] = set()
        for at in self._holders.pop(pair):
            self._count(at, -1)
            self._words[at] = _merged(self._words[at], pair, new)
            met.update(self._count(at, 1))
        self._counts.pop(pair, None)
        for found in met:
            if new in found:
                heappush(self._heap, (-self._counts[found], found))

    def _count(self, at: int, sign: int) -> list[Pair]:
        pairs = list(pairwise(self._words[at]))
        weight = sign * self._weights[at]
        for pair in pairs:
            self._counts[pair] += weight
            if sign > 0:
                self._holders[pair].add(at)
        return pairs


def _merged(word: list[int], pair: Pair, new: int) -> list[int]:
    left, right = pair
    out: list[int] = []
    at, end = 0, len(word)
    while at < end:
        if word[at] == left and at + 1 < end and word[at + 1] == right:
            out.append(new)
            at += 2
        else:
            out.append(word[at])
            at += 1
    return out
