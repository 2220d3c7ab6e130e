"""Grammars taken at their word: every way to read a text is followed, character by character.

Slow and plain, so that it can say what the automata of the real thing should have said.
"""

from __future__ import annotations

from zigllm_cli.grammar.expressions import (
    Chars,
    Choice,
    Expression,
    Ranges,
    Reference,
    Repeat,
    Rules,
    Sequence,
    overlap,
)
from zigllm_cli.grammar.gbnf import ROOT

Stack = tuple[Expression, ...]
"""What is still to come, the next thing first; the first is a set of characters."""

SURROGATES = (0xD800, 0xDFFF)


class Reading:
    """All ways to read the text so far.

    Attributes:
        ways: what may follow, for each.
        rest: bytes of a character that is not whole yet.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.ways = self._expand({(Reference(ROOT),)})
        self.rest = b""

    @property
    def is_whole(self) -> bool:
        return () in self.ways and not self.rest

    def go_on(self, text: bytes) -> Reading | None:
        """The reading with some bytes more; None if there is none."""
        new = Reading.__new__(Reading)
        new._rules, new.ways, new.rest = self._rules, self.ways, self.rest
        for byte in text:
            new.rest += bytes([byte])
            codes = codes_of(new.rest)
            if not any(overlap(codes, way[0].ranges) for way in new.ways if way):
                return None
            if len(new.rest) == length_of(new.rest[0]):
                new.ways = new._expand(
                    {w[1:] for w in new.ways if w and overlap(codes, w[0].ranges)}
                )
                new.rest = b""
        return new

    def _expand(self, stacks: set[Stack]) -> set[Stack]:
        """The same with a set of characters, or nothing, in front of each."""
        found, waiting = set(stacks), list(stacks)
        while waiting:
            stack = waiting.pop()
            if stack and not isinstance(stack[0], Chars):
                for new in self._unfold(stack[0]):
                    if (*new, *stack[1:]) not in found:
                        found.add((*new, *stack[1:]))
                        waiting.append((*new, *stack[1:]))
        return {stack for stack in found if not stack or isinstance(stack[0], Chars)}

    def _unfold(self, expression: Expression) -> list[Stack]:
        if isinstance(expression, Reference):
            return [(self._rules[expression.name],)]
        if isinstance(expression, Sequence):
            return [expression.items]
        if isinstance(expression, Choice):
            return [(item,) for item in expression.items]
        assert isinstance(expression, Repeat)
        item, low, high = expression.item, expression.low, expression.high
        ways: list[Stack] = [] if low else [()]
        if high != 0:
            ways.append((item, Repeat(item, max(low - 1, 0), None if high is None else high - 1)))
        return ways


def length_of(first: int) -> int:
    """Bytes of a UTF-8 character by its first one; 0 if no character begins so."""
    if first < 0x80:
        return 1
    return 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 * (0xF0 <= first < 0xF5)


def codes_of(start: bytes) -> Ranges:
    """The code points whose UTF-8 begins with these bytes."""
    length = length_of(start[0])
    if not length or any(byte & 0xC0 != 0x80 for byte in start[1:]):
        return ()
    code = start[0] & (0x7F, 0x1F, 0x0F, 0x07)[length - 1]
    for byte in start[1:]:
        code = code << 6 | byte & 0x3F
    missing = 6 * (length - len(start))
    low = max(code << missing, (0, 0x80, 0x800, 0x10000)[length - 1])
    high = min((code + 1 << missing) - 1, 0x10FFFF)
    parts = (low, min(high, SURROGATES[0] - 1)), (max(low, SURROGATES[1] + 1), high)
    return tuple(part for part in parts if part[0] <= part[1]) if high >= low else ()
