"""Code points in classes that no set of a grammar tells apart: sets become bits of an integer."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.grammar.expressions import Ranges

Symbols = int
"""A set of classes of code points, a bit for each."""

Bytes = int
"""A set of bytes, a bit for each."""


class Alphabet:
    """The classes of a grammar.

    Attributes:
        symbols: the classes that each set is made of.
        other: a class outside all, for what is no text; it begins with no byte of UTF-8.
    """

    def __init__(self, sets: Iterable[Ranges]) -> None:
        self.symbols: dict[Ranges, Symbols] = dict.fromkeys(sets, 0)
        self._first_bytes: list[Bytes] = []
        self._of_symbols: dict[Symbols, Bytes] = {}
        for members, pieces in self._classes().items():
            symbol = 1 << len(self._first_bytes)
            self._first_bytes.append(_first_bytes_of(pieces))
            for ranges in members:
                self.symbols[ranges] |= symbol
        self.other: Symbols = 1 << len(self._first_bytes)
        self._first_bytes.append(1 << 0xFF)

    def first_bytes(self, symbols: Symbols) -> Bytes:
        """What the code points of some classes begin with in UTF-8."""
        if symbols not in self._of_symbols:
            found = 0
            for symbol in bits(symbols):
                found |= self._first_bytes[symbol]
            self._of_symbols[symbols] = found
        return self._of_symbols[symbols]

    def _classes(self) -> dict[frozenset[Ranges], list[tuple[int, int]]]:
        """The ranges of each class, by the sets that it is in."""
        borders: dict[int, set[Ranges]] = {}
        for ranges in self.symbols:
            for low, high in ranges:
                for border in (low, high + 1):
                    borders.setdefault(border, set()).add(ranges)
        classes: dict[frozenset[Ranges], list[tuple[int, int]]] = {}
        members: frozenset[Ranges] = frozenset()
        start = 0
        for border in sorted(borders):
            if members:
                classes.setdefault(members, []).append((start, border - 1))
            members, start = members ^ borders[border], border
        return classes


def bits(number: int) -> Iterable[int]:
    """Which bits of a number are set, from the lowest."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


_FIRST_BYTES: Bytes = (1 << 0x80) - 1 | (1 << 0xF5) - (1 << 0xC2)
"""Those that begin a character (RFC 3629)."""


def _first_bytes_of(pieces: list[tuple[int, int]]) -> Bytes:
    found = 0
    for low, high in pieces:
        found |= (2 << _first_byte(high)) - (1 << _first_byte(low))
    return found & _FIRST_BYTES


def _first_byte(code: int) -> int:
    """Of a code point in UTF-8; rises with the code point."""
    if code < 0x80:
        return code
    if code < 0x800:
        return 0xC0 | code >> 6
    return 0xE0 | code >> 12 if code < 0x10000 else 0xF0 | code >> 18
