"""A text of any length as token ids, in bounded memory.

The text is read in blocks and cut where the tokens on both sides do not depend on each other. No
rule for that holds for all tokenizers, so a place is tried: the text around it must give the same
ids as a whole and in its two halves. What is not yet cut waits for the next block.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import BinaryIO

from zigllm_cli.tokenizers import Tokenizer

BLOCK = 1 << 20
"""Bytes that are read at a time; a text of up to this size is tokenised as a whole."""

AROUND = 1000
"""Characters on each side of a cut that decide whether it may be made."""

ATTEMPTS = 200
"""Places that are tried in a block, from its end on, before more text is read."""

_LINES = re.compile(r"(?<=\S\n)(?=\S)")
_WORDS = re.compile(r"(?<=\S)(?=\s\S)")
_ANY = re.compile(r"(?=.)", re.DOTALL)


class TokenStream:
    """Iterates over blocks of token ids, the tokenizer's prefix (BOS) first.

    Attributes:
        bytes_read: of the text, so far.
        bytes_cut: of the text, so far given out as tokens.
        tokens: given out so far.
    """

    def __init__(self, tokenizer: Tokenizer, file: BinaryIO, block: int = BLOCK) -> None:
        self._tokenizer = tokenizer
        self._file = file
        self._block = block
        self.bytes_read = 0
        self.bytes_cut = 0
        self.tokens = 0
        self._ahead = file.read(block)

    @property
    def digest(self) -> str:
        """Of the text's first block, before anything else of it was read."""
        return blake2b(self._ahead, digest_size=16).hexdigest()

    def __iter__(self) -> Iterator[list[int]]:
        """Blocks of ids, in order; one after the other they are the ids of the whole text."""
        self.tokens = len(self._tokenizer.prefix)
        yield list(self._tokenizer.prefix)
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        waiting, is_first = "", True
        ahead = self._ahead
        while ahead:
            data, ahead = ahead, self._file.read(self._block)
            self.bytes_read += len(data)
            waiting += decoder.decode(data, final=not ahead)
            cut = len(waiting) if not ahead else self._cut(waiting, is_first)
            if cut:
                part, waiting = waiting[:cut], waiting[cut:]
                self.bytes_cut = self.bytes_read - len(waiting.encode("utf-8", "surrogateescape"))
                ids = self._tokenizer.encode_part(part, after_special=is_first)
                self.tokens += len(ids)
                yield ids
                is_first = False

    def _cut(self, text: str, is_first: bool) -> int:
        """Where `text` may be cut, as far back as possible; 0 for nowhere.

        Behind a line, else before a space, else between any two characters: the last for
        writing without spaces.
        """
        tail = max(len(text) - self._block // 2, 0)
        end = len(text) - AROUND  # what comes next must not reach back to the cut
        for pattern in (_LINES, _WORDS, _ANY):
            places = [match.start() for match in pattern.finditer(text, tail, max(end, 0))]
            for place in reversed(places[-ATTEMPTS:]):
                if place and self._is_safe(text, place, is_first):
                    return place
        return 0

    def _is_safe(self, text: str, place: int, is_first: bool) -> bool:
        start = max(place - AROUND, 0)
        encode, at_start = self._tokenizer.encode_part, is_first and start == 0
        whole = encode(text[start : place + AROUND], after_special=at_start)
        left = encode(text[start:place], after_special=at_start)
        right = encode(text[place : place + AROUND], after_special=False)
        return bool(left) and whole == left + right
