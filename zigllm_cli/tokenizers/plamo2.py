"""PLaMo 2 (`plamo2`): the cheapest way to cut the text into tokens, from its end to its start.

Scores are integers (the file's times 10,000), so the result does not depend on the order of
additions. A character that no token covers costs 1,000 and becomes the tokens of its bytes. The
reference implementation walks an automaton over the suffixes of all tokens; asking a dictionary
gives the same ids, because at every place both try all tokens that lie there, the longest first.
(Except for tokens with a score of -1000 exactly, which its automaton takes for the end of a row.)

A byte order mark at the start is dropped. No BOS or EOS is ever added, as in llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers.base import Tokenizer, to_bytes
from zigllm_cli.tokenizers.cache import WordCache
from zigllm_cli.tokenizers.characters import repaired
from zigllm_cli.tokenizers.matching import WIDTH, StartTable, cut_before
from zigllm_cli.tokenizers.vocabulary import TokenType

BYTE_ORDER_MARK = "\ufeff"
UNKNOWN = 10_000_000
"""What a character without a token costs."""

INVALID = 20_000_000
"""Tokens that cost as much are never used."""

UNREACHED = 1 << 60


class Plamo2Tokenizer(Tokenizer):
    """Cheapest segmentation by dynamic programming."""

    lossless = False  # a byte order mark goes, and control tokens are found in any text

    def encode_text(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of a piece of text; see `Tokenizer.encode_text`."""
        return self._words.encode_all(self._cut(repaired(text).removeprefix(BYTE_ORDER_MARK)))

    def _encode_word(self, text: str) -> list[int]:
        steps = self._cheapest(text)
        ids: list[int] = []
        position = 0
        while position < len(text):
            length = steps[position]
            if length > 0:
                ids.append(self.vocabulary.ids[text[position : position + length]])
                position += length
            else:
                ids += [self._bytes[byte] for byte in to_bytes(text[position])]
                position += 1
        return ids

    def token_bytes(self, token: int) -> bytes:
        """The bytes of a token."""
        text = self.vocabulary.tokens[token]
        if self.vocabulary.types[token] == TokenType.BYTE and _byte(text) is not None:
            return bytes([self.vocabulary.byte_of(token)])
        return to_bytes(text)

    @cached_property
    def prefix(self) -> list[int]:
        """Nothing, whatever the file says."""
        return []

    @cached_property
    def suffix(self) -> list[int]:
        """Nothing, whatever the file says."""
        return []

    def _cheapest(self, text: str) -> list[int]:
        """For every place, the length of the token that the best way goes on with; 0: bytes."""
        lengths_at, find = self._starts, self._costs.get
        size = len(text)
        costs, steps = [0] * (size + 1), [0] * (size + 1)
        for start in range(size - 1, -1, -1):
            best, step = UNREACHED, 0
            for length in lengths_at[text[start : start + WIDTH]]:
                stop = start + length
                if stop <= size and (cost := find(text[start:stop])) is not None:
                    cost += costs[stop]
                    if cost < best:
                        best, step = cost, length
            if costs[start + 1] + UNKNOWN < best:
                best, step = costs[start + 1] + UNKNOWN, 0
            costs[start], steps[start] = best, step
        return steps

    @cached_property
    def _costs(self) -> dict[str, int]:
        """Cost of every token that may be used."""
        vocabulary = self.vocabulary
        rows = zip(vocabulary.tokens, vocabulary.types, vocabulary.scores, strict=True)
        costs = {text: _cost(score) for text, kind, score in rows if kind != TokenType.BYTE}
        return {text: cost for text, cost in costs.items() if cost < INVALID}

    @cached_property
    def _cut(self) -> Callable[[str], list[str]]:
        return cut_before(" ", self._costs)

    @cached_property
    def _words(self) -> WordCache:
        return WordCache(self._encode_word)

    @cached_property
    def _starts(self) -> StartTable:
        return StartTable(self._costs, longest_first=True)

    @cached_property
    def _bytes(self) -> dict[int, int]:
        """Byte value to the id of its token."""
        vocabulary = self.vocabulary
        found = {
            byte: token
            for token, (text, kind) in enumerate(
                zip(vocabulary.tokens, vocabulary.types, strict=True)
            )
            if kind == TokenType.BYTE and (byte := _byte(text)) is not None
        }
        missing = [byte for byte in range(256) if not found.get(byte)]
        if missing:
            raise InputError(f"the vocabulary has no byte token <0x{missing[0]:02X}>")
        return found


def _cost(score: float) -> int:
    """A score as llama.cpp stores it: times 10,000, halves rounded away from zero, negated."""
    if not math.isfinite(score) or abs(score) >= 2**31 / 1e4:
        return INVALID
    scaled = score * 1e4
    whole = math.trunc(scaled)
    return -(whole + int(math.copysign(abs(scaled - whole) >= 0.5, scaled)))


def _byte(text: str) -> int | None:
    """The byte that `<0xXX>` stands for; None for other texts."""
    if len(text) != 6 or not (text.startswith("<0x") and text.endswith(">")):
        return None
    try:
        return int(text[3:5], 16)
    except ValueError:
        return None
