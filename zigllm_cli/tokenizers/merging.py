"""Pair merging, the core of byte-pair encoding and of SentencePiece's BPE.

Start from single characters and join, again and again, the neighbouring pair of the lowest rank,
the leftmost one on ties, until no known pair is left (Sennrich et al. 2016, arXiv:1508.07909).

Words are short, so a scan for the lowest rank beats any queue up to some forty symbols; hostile
words are not, so longer ones go through a heap in O(n log n). Both give the same symbols.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

SCAN_LIMIT = 40
"""Symbols up to which scanning is faster than the heap (measured: equal at 35 to 50)."""

NO_RANK = 1 << 62


class PairMerger:
    """Merges symbols by a table of ranks.

    Args:
        ranks: rank by pair, spelt left + joint + right; lower merges first.
        joint: what stands between the two in the table's keys.
    """

    def __init__(self, ranks: Mapping[str, int], joint: str) -> None:
        self._ranks = ranks
        self._joint = joint

    def merge(self, word: str) -> list[str]:
        """The symbols that `word` ends as."""
        if len(word) > SCAN_LIMIT:
            return self._queue(word)
        get, joint = self._ranks.get, self._joint
        symbols = list(word)
        ranks = [get(left + joint + right, NO_RANK) for left, right in pairwise(word)]
        while ranks:
            best = min(ranks)
            if best == NO_RANK:
                break
            at = ranks.index(best)
            merged = symbols[at] + symbols.pop(at + 1)
            symbols[at] = merged
            del ranks[at]
            if at:
                ranks[at - 1] = get(symbols[at - 1] + joint + merged, NO_RANK)
            if at < len(ranks):
                ranks[at] = get(merged + joint + symbols[at + 1], NO_RANK)
        return symbols

    def steps(self, word: str) -> Iterator[tuple[list[str], int, int]]:
        """Each merge in turn: the symbols after it, where it happened, and its rank."""
        symbols = list(word)
        while len(symbols) > 1:
            ranks = [self._rank(*pair) for pair in pairwise(symbols)]
            best = min(ranks)
            if best == NO_RANK:
                return
            at = ranks.index(best)
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
            yield list(symbols), at, best

    def _rank(self, left: str, right: str) -> int:
        return self._ranks.get(left + self._joint + right, NO_RANK)

    def _queue(self, word: str) -> list[str]:
        """The same with a heap of rank and left position, packed into one integer.

        An entry is stale when the pair at its position has another rank by now: symbols only
        grow, so the same pair cannot come back.
        """
        get, joint, count = self._ranks.get, self._joint, len(word)
        symbols = list(word)
        shift = count.bit_length()
        mask = (1 << shift) - 1
        current = [get(left + joint + right, NO_RANK) for left, right in pairwise(symbols)]
        current.append(NO_RANK)
        heap = [rank << shift | at for at, rank in enumerate(current) if rank != NO_RANK]
        heapify(heap)
        following = list(range(1, count + 1))
        previous = list(range(-1, count))
        while heap:
            entry = heappop(heap)
            at = entry & mask
            if current[at] != entry >> shift:
                continue
            right = following[at]
            after = following[right]
            merged = symbols[at] = symbols[at] + symbols[right]
            symbols[right] = ""
            current[right] = NO_RANK
            following[at] = after
            previous[after] = at
            rank = get(merged + joint + symbols[after], NO_RANK) if after < count else NO_RANK
            current[at] = rank
            if rank != NO_RANK:
                heappush(heap, rank << shift | at)
            before = previous[at]
            if before >= 0:
                rank = current[before] = get(symbols[before] + joint + merged, NO_RANK)
                if rank != NO_RANK:
                    heappush(heap, rank << shift | before)
        return [symbol for symbol in symbols if symbol]
