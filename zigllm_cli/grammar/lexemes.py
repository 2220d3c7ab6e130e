"""Which parts of a grammar may be read as one lexeme.

llguidance reads a text in two steps: a lexer takes the longest lexeme that is allowed, a parser
goes on from there. That is fast for long lexemes and exact for single characters; between them
it is exact only where the longest match is the only one that can lead on. So a regular part
becomes a lexeme if, wherever it is allowed,

- no other lexeme that is allowed there begins with the same characters, and
- no match can be made longer by a character with which the text may go on behind the match.

All other parts are read character by character.
"""

from __future__ import annotations

from zigllm_cli.grammar.automaton import (
    Shape,
    TooLargeError,
    regular_rules,
    shape_of,
    size_of,
)
from zigllm_cli.grammar.expressions import (
    Chars,
    Choice,
    Expression,
    Reference,
    Repeat,
    Rules,
    Sequence,
    Token,
    children,
    overlap,
    union,
    walk,
)
from zigllm_cli.grammar.gbnf import ROOT

MOST_SIZE = 300
"""Sets of code points in a lexeme, written out."""

MOST_PLACES = 300
"""Combinations of places in the grammar that are looked at before all lexemes are given up."""

Place = int
Places = frozenset[Place]


def find_lexemes(rules: Rules) -> frozenset[Expression]:
    """The expressions that are safe to read as lexemes, single characters aside."""
    units = _Units(rules)
    while True:
        network = _Network(rules, units)
        conflicts = network.conflicts()
        if conflicts is None:
            return frozenset()
        if not conflicts:
            used = {units.expressions[unit] for unit in network.units}
            return frozenset(e for e in used if not isinstance(e, Chars | Token))
        units.refused |= conflicts


class _Units:
    """Expressions that may be read as one, by number: equal ones have the same.

    Attributes:
        refused: those that were found not to be safe.
    """

    def __init__(self, rules: Rules) -> None:
        uses = {
            name: {part.name for part in walk(rule) if isinstance(part, Reference)}
            for name, rule in rules.items()
        }
        self.expressions: list[Expression] = []
        self.shapes: list[Shape] = []
        self.refused: set[int] = set()
        self._rules = rules
        self._sizes = regular_rules(rules, uses, MOST_SIZE)
        self._numbers: dict[Expression, int | None] = {}
        self._by_id: dict[int, int | None] = {}
        self._collisions: dict[tuple[int, int], bool] = {}

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

    def _add(self, expression: Expression) -> int | None:
        shape = Shape((), (), is_nullable=False)  # tokens lie beside all characters
        if not isinstance(expression, Token):
            size = size_of(expression, self._sizes)
            if not size or size > MOST_SIZE:
                return None
            try:
                shape = shape_of(expression, self._rules)
            except TooLargeError:
                return None
        self.expressions.append(expression)
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def collide(self, one: int, other: int) -> bool:
        """Whether both may begin with the same character."""
        pair = (one, other)
        if pair not in self._collisions:
            same = one == other
            self._collisions[pair] = same or overlap(
                self.shapes[one].first, self.shapes[other].first
            )
        return self._collisions[pair]


class _Network:
    """Places in a grammar (where a unit stands), and which may follow which.

    A rule is followed by whatever follows any use of it: more than is true, on the safe side.

    Attributes:
        units: the number of the unit at each place.
        after: the places that may follow each.
        start: the places that a text may begin with.
    """

    def __init__(self, rules: Rules, units: _Units) -> None:
        self.units: list[int] = []
        self.after: list[Places] = []
        self.start: Places = frozenset()
        self._rules, self._units = rules, units
        self._place: dict[int, Place] = {}
        self._first: dict[str, Places] = {name: frozenset() for name in rules}
        self._follow: dict[str, Places] = {name: frozenset() for name in rules}
        self._empty: set[str] = set()
        root = Reference(ROOT)
        used = self._used(root)
        while True:
            before = (dict(self._first), dict(self._follow), len(self._empty))
            self.start, _ = self._visit(root, frozenset())
            for name in used:
                self._first[name], is_empty = self._visit(rules[name], self._follow[name])
                if is_empty:
                    self._empty.add(name)
            if before == (self._first, self._follow, len(self._empty)):
                return

    def _used(self, root: Expression) -> list[str]:
        """Rules that are not inside a unit."""
        found: list[str] = []
        waiting = [root]
        while waiting:
            expression = waiting.pop()
            if self._units.find(expression) is not None:
                continue
            waiting += children(expression)
            if isinstance(expression, Reference) and expression.name not in found:
                found.append(expression.name)
                waiting.append(self._rules[expression.name])
        return found

    def _visit(self, expression: Expression, after: Places) -> tuple[Places, bool]:
        """What it may begin with, and whether it can be empty; `after` may follow it."""
        unit = self._units.find(expression)
        if unit is not None:
            place = self._place.setdefault(id(expression), len(self.units))
            if place == len(self.units):
                self.units.append(unit)
                self.after.append(frozenset())
            self.after[place] |= after
            return frozenset([place]), self._units.shapes[unit].is_nullable
        if isinstance(expression, Reference):
            self._follow[expression.name] |= after
            return self._first[expression.name], expression.name in self._empty
        if isinstance(expression, Choice):
            parts = [self._visit(item, after) for item in expression.items]
            return frozenset().union(*(first for first, _ in parts)), any(e for _, e in parts)
        if isinstance(expression, Repeat):
            first, is_empty = self._visit(expression.item, after)
            first, is_empty = self._visit(expression.item, after | first)
            return first, is_empty or expression.low == 0
        assert isinstance(expression, Sequence)
        first, is_empty = frozenset(), True
        for item in reversed(expression.items):
            item_first, item_is_empty = self._visit(item, after)
            first = item_first | first if item_is_empty else item_first
            after = item_first | after if item_is_empty else item_first
            is_empty = is_empty and item_is_empty
        return first, is_empty

    # -------------------------------------------------------------- conflicts

    def conflicts(self) -> set[int] | None:
        """Units that are not safe to read as lexemes; None where it takes too long to say."""
        found: set[int] = set()
        seen, waiting = {self.start}, [self.start]
        while waiting:
            allowed = waiting.pop()
            here = {self.units[place] for place in allowed}
            for unit in here:
                rivals = {other for other in here if self._units.collide(unit, other)}
                following = self._following(allowed, rivals)
                if self._is_lexeme(unit) and (len(rivals) > 1 or self._goes_on(unit, following)):
                    found.add(unit)
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
            if len(seen) > MOST_PLACES:
                return found or None
        return found

    def _following(self, allowed: Places, units: set[int]) -> Places:
        """What may come behind any of these units, where these places are allowed."""
        behind = (self.after[place] for place in allowed if self.units[place] in units)
        return frozenset().union(*behind)

    def _is_lexeme(self, unit: int) -> bool:
        return not isinstance(self._units.expressions[unit], Chars | Token)

    def _goes_on(self, unit: int, following: Places) -> bool:
        """Whether the text may go on with what would make a match of the unit longer."""
        shapes = self._units.shapes
        first = union(shapes[self.units[place]].first for place in following)
        return overlap(shapes[unit].extensions, first)


def regular_expression(expression: Expression, rules: Rules) -> str:
    """An expression in the syntax of the `regex` crate, by code points."""
    if isinstance(expression, Chars):
        return f"[{''.join(map(_range, expression.ranges))}]"
    if isinstance(expression, Reference):
        return regular_expression(rules[expression.name], rules)
    if isinstance(expression, Repeat):
        high = "" if expression.high is None else expression.high
        return f"(?:{regular_expression(expression.item, rules)}){{{expression.low},{high}}}"
    assert isinstance(expression, Sequence | Choice)
    parts = [regular_expression(item, rules) for item in expression.items]
    return "".join(parts) if isinstance(expression, Sequence) else f"(?:{'|'.join(parts)})"


def _range(ends: tuple[int, int]) -> str:
    return "-".join(f"\\x{{{code:x}}}" for code in dict.fromkeys(ends))
