"""The parts of a grammar that could be read as one lexeme: what is regular, and single tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zigllm_cli.grammar.alphabet import Alphabet, Bytes, Symbols
from zigllm_cli.grammar.automaton import (
    Automaton,
    Comparison,
    Effort,
    TooLongError,
    automaton_of,
    compare,
)
from zigllm_cli.grammar.expressions import (
    Chars,
    Expression,
    Reference,
    Repeat,
    Rules,
    Token,
    children,
    references,
    walk,
)

MOST_SIZE = 2_000
"""Sets of code points in a unit, written out."""

MOST_DEPTH = 60
"""Expressions inside each other in a unit, those of other rules included."""

MOST_STEPS = 300_000
"""Work on the automaton of a unit."""


@dataclass(frozen=True)
class Size:
    """How large a regular expression is, written out without references."""

    sets: int
    depth: int

    @property
    def is_small(self) -> bool:
        return self.sets <= MOST_SIZE and self.depth <= MOST_DEPTH


class Units:
    """Parts of a grammar by number: equal ones have the same.

    Attributes:
        expressions: what each is.
        refused: those that turned out not to be lexemes.
    """

    def __init__(self, rules: Rules, effort: Effort) -> None:
        self.expressions: list[Expression] = []
        self.refused: set[int] = set()
        self._automata: list[Automaton] = []
        self._rules = rules
        self._effort = effort
        sets = (part.ranges for r in rules.values() for part in walk(r) if isinstance(part, Chars))
        self._alphabet = Alphabet(sets)
        self._sizes = regular_rules(rules)
        self._numbers: dict[Expression, int | None] = {}
        self._by_id: dict[int, int | None] = {}
        self._comparisons: dict[tuple[int, int], Comparison] = {}

    def find(self, expression: Expression) -> int | None:
        """The number of an expression; None where it is no unit, or refused.

        Asked by identity first, since hashing a tree takes as long as it is large.
        """
        if id(expression) not in self._by_id:
            if expression not in self._numbers:
                self._numbers[expression] = self._add(expression)
            self._by_id[id(expression)] = self._numbers[expression]
        number = self._by_id[id(expression)]
        return None if number in self.refused else number

    def is_nullable(self, unit: int) -> bool:
        return 0 in self._automata[unit].ends

    def is_lexeme(self, unit: int) -> bool:
        """Whether it is more than a single character or token."""
        return not isinstance(self.expressions[unit], Chars | Token)

    def first(self, unit: int) -> Symbols:
        """What a match may begin with; of a token, what no text has."""
        return self._alphabet.other if self._is_token(unit) else self._automata[unit].onward(0)

    def first_bytes(self, unit: int) -> Bytes:
        """The same in UTF-8."""
        return self._alphabet.first_bytes(self.first(unit))

    def meet(self, one: int, other: int) -> bool:
        """Whether some text is a match of both."""
        if self._is_token(one):
            return self._is_token(other)
        return self._compare(one, other).meets

    def going_on(self, one: int, other: int) -> Bytes:
        """The bytes with which a match of `one` can be the beginning of a longer one of `other`."""
        return self._alphabet.first_bytes(self._compare(one, other).other_goes_on)

    def _is_token(self, unit: int) -> bool:
        return isinstance(self.expressions[unit], Token)

    def _compare(self, one: int, other: int) -> Comparison:
        if (one, other) not in self._comparisons:
            found = compare(self._automata[one], self._automata[other], self._effort)
            self._comparisons[one, other] = found
            self._comparisons[other, one] = found.reversed()
        return self._comparisons[one, other]

    def _add(self, expression: Expression) -> int | None:
        automaton = Automaton([[]], set())
        if not isinstance(expression, Token):
            size = size_of(expression, self._sizes)
            if not size or not size.is_small or not size.sets:
                return None
            allowed = min(MOST_STEPS, self._effort.left)
            effort = Effort(allowed)
            try:
                automaton = automaton_of(expression, self._rules, self._alphabet, effort)
            except TooLongError:
                return None
            finally:
                self._effort.spend(allowed - effort.left)
        self.expressions.append(expression)
        self._automata.append(automaton)
        return len(self._automata) - 1


def regular_rules(rules: Rules) -> dict[str, Size]:
    """Rules without recursion and single tokens that are small enough for a unit."""
    missing = {name: references(rule) for name, rule in rules.items()}
    users: dict[str, list[str]] = {name: [] for name in rules}
    for name, used in missing.items():
        for other in used:
            users[other].append(name)
    sizes: dict[str, Size] = {}
    waiting = [name for name, used in missing.items() if not used]
    while waiting:
        name = waiting.pop()
        size = size_of(rules[name], sizes)
        if not size or not size.is_small:
            continue
        sizes[name] = size
        for user in users[name]:
            missing[user].discard(name)
            if not missing[user]:
                waiting.append(user)
    return sizes


def size_of(expression: Expression, sizes: Mapping[str, Size]) -> Size | None:
    """The size of an expression, given those of regular rules; None if it is not regular."""
    if isinstance(expression, Chars):
        return Size(1, 1)
    if isinstance(expression, Token):
        return None
    if isinstance(expression, Reference):
        size = sizes.get(expression.name)
        return size and Size(size.sets, size.depth + 1)
    parts = [size_of(item, sizes) for item in children(expression)]
    if None in parts:
        return None
    sets = sum(part.sets for part in parts if part)
    depth = 1 + max((part.depth for part in parts if part), default=0)
    if isinstance(expression, Repeat):
        sets *= max(expression.high if expression.high is not None else expression.low + 1, 1)
    return Size(sets, depth)
