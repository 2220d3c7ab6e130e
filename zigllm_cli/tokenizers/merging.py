"""Pair merging, the core of byte-pair encoding and of SentencePiece's BPE.

Start from single characters and join, again and again, the neighbouring pair of the lowest rank,
the leftmost one on ties, until no known pair is left (Sennrich et al. 2016, arXiv:1508.07909).

Words are short, so a scan for the lowest rank beats any queue up to some hundred symbols; hostile
words are not, so longer ones go through a queue in O(n log n). Both give the same symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise
from operator import add

SCAN_LIMIT = 120
"""Symbols up to which scanning is faster than the queue (measured: 52 to 98 us at 40 symbols,
equal at 120)."""

NO_RANK = 1 << 62

MAX_PAIRS = 1 << 16
"""Pairs of characters that are remembered; text in a few languages has some thousand."""


class PairMerger:
    """Merges symbols by a table of ranks.

    Args:
        ranks: rank by pair, spelt left + joint + right; lower merges first.
        joint: what stands between the two in the table's keys.
    """

    def __init__(self, ranks: Mapping[str, int], joint: str) -> None:
        self._ranks = ranks
        self._joint = joint
        self._first = _CharacterPairs(ranks, joint)

    def merge(self, word: str) -> list[str]:
        """The symbols that `word` ends as."""
        if len(word) > SCAN_LIMIT:
            return self._queue(word)
        get, joint = self._ranks.get, self._joint
        symbols = list(word)
        ranks = list(map(self._first.__getitem__, map(add, word, word[1:])))
        while ranks:
            best = min(ranks)
            if best == NO_RANK:
                break
            at = ranks.index(best)
            symbols[at] = merged = symbols[at] + symbols.pop(at + 1)
            del ranks[at]
            if at:
                ranks[at - 1] = get(f"{symbols[at - 1]}{joint}{merged}", NO_RANK)
            if at < len(ranks):
                ranks[at] = get(f"{merged}{joint}{symbols[at + 1]}", NO_RANK)
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
        """The same with an agenda of positions by rank.

        An entry is stale when the pair at its position has another rank by now: symbols only
        grow, so the same pair cannot come back.
        """
        get, joint, count = self._ranks.get, self._joint, len(word)
        symbols = list(word)
        current = [get(left + joint + right, NO_RANK) for left, right in pairwise(word)]
        agenda = Agenda(current)
        current.append(NO_RANK)
        following = list(range(1, count + 1))
        previous = list(range(-1, count))
        for rank, at in agenda:
            if current[at] != rank:
                continue
            right = following[at]
            after = following[right]
            merged = symbols[at] = symbols[at] + symbols[right]
            symbols[right] = ""
            current[right] = NO_RANK
            following[at] = after
            previous[after] = at
            new = get(merged + joint + symbols[after], NO_RANK) if after < count else NO_RANK
            current[at] = new
            if new != NO_RANK:
                agenda.add(new, at)
            before = previous[at]
            if before >= 0:
                new = current[before] = get(symbols[before] + joint + merged, NO_RANK)
                if new != NO_RANK:
                    agenda.add(new, before)
        return [symbol for symbol in symbols if symbol]


class _CharacterPairs(dict[str, int]):
    """Rank by two characters: a small table that stays in the processor's cache.

    Looking the first pairs of a word up here takes 12 % off the time of a word.
    """

    def __init__(self, ranks: Mapping[str, int], joint: str) -> None:
        super().__init__()
        self._ranks = ranks
        self._joint = joint

    def __missing__(self, pair: str) -> int:
        rank = self._ranks.get(pair[0] + self._joint + pair[1], NO_RANK)
        if len(self) < MAX_PAIRS:
            self[pair] = rank
        return rank


class Agenda:
    """A queue of positions, those of the lowest rank first, each rank from left to right.

    One heap of a million entries wanders through memory: 2 MB took up to 2.6 times 1 MB. Entries
    of one rank mostly come in order, so each rank has a list, sorted when its turn comes; what is
    added after that waits in a small heap beside it.

    Args:
        ranks: rank of the pair at every position; NO_RANK where there is none.
    """

    def __init__(self, ranks: Iterable[int]) -> None:
        self._future: dict[int, list[int]] = {}
        self._open: dict[int, list[int]] = {}
        for at, rank in enumerate(ranks):
            if rank != NO_RANK:
                self._future.setdefault(rank, []).append(at)
        self._order = list(self._future)
        heapify(self._order)

    def add(self, rank: int, at: int) -> None:
        """Put the position `at` in line."""
        late = self._open.get(rank)
        if late is not None:
            heappush(late, at)
        elif rank in self._future:
            self._future[rank].append(at)
        else:
            self._future[rank] = [at]
            heappush(self._order, rank)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Rank and position of the next entry, until none is left; `add` may come in between."""
        order, sorted_of = self._order, dict[int, list[int]]()
        while order:
            rank = order[0]
            if rank not in self._open:
                sorted_of[rank] = sorted(self._future.pop(rank), reverse=True)
                self._open[rank] = []
            positions, late = sorted_of[rank], self._open[rank]
            while order[0] == rank and (positions or late):
                from_late = late and (not positions or late[0] < positions[-1])
                yield rank, heappop(late) if from_late else positions.pop()
            if order[0] == rank:
                heappop(order)
                del self._open[rank], sorted_of[rank]
