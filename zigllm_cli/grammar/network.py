"""Which parts of a grammar may stand behind each other, and which beside."""

from __future__ import annotations

from zigllm_cli.grammar.alphabet import Bytes, Symbols, bits
from zigllm_cli.grammar.automaton import Effort
from zigllm_cli.grammar.expressions import (
    Choice,
    Expression,
    Reference,
    Repeat,
    Rules,
    Sequence,
    children,
)
from zigllm_cli.grammar.gbnf import ROOT
from zigllm_cli.grammar.units import Units

_WHOLE = Reference(ROOT)

Place = int
Places = int
"""A set of places, a bit for each."""


class Network:
    """Places in a grammar (where a unit stands), and which may follow which.

    A rule is followed by whatever follows any use of it: more than is true, on the safe side.

    Attributes:
        units: the number of the unit at each place.
        after: the places that may follow each.
        start: the places that a text may begin with.
    """

    def __init__(self, rules: Rules, units: Units, empty: set[str], effort: Effort) -> None:
        self.units: list[int] = []
        self.after: list[Places] = []
        self.start: Places = 0
        self._rules, self._units, self._empty = rules, units, empty
        self._effort = effort
        self._place: dict[int, Place] = {}
        self._first: dict[str, Places] = dict.fromkeys(rules, 0)
        self._follow: dict[str, Places] = dict.fromkeys(rules, 0)
        self._connect()

    def _connect(self) -> None:
        """Go over the rules until nothing is new.

        What follows goes down the rules, what is first goes up: so down and up in turns.
        """
        used = self._used()
        while True:
            before = (dict(self._first), dict(self._follow))
            self.start, _ = self._visit(_WHOLE, 0)
            for name in used:
                self._first[name], _ = self._visit(self._rules[name], self._follow[name])
            if before == (self._first, self._follow):
                return
            used.reverse()

    def _used(self) -> list[str]:
        """Rules that are not inside a unit."""
        found: dict[str, None] = {}
        waiting: list[Expression] = [_WHOLE]
        while waiting:
            expression = waiting.pop()
            if self._units.find(expression) is not None:
                continue
            waiting += children(expression)
            if isinstance(expression, Reference) and expression.name not in found:
                found[expression.name] = None
                waiting.append(self._rules[expression.name])
        return list(found)

    def _visit(self, expression: Expression, after: Places) -> tuple[Places, bool]:
        """What it may begin with, and whether it can be empty; `after` may follow it."""
        self._effort.spend(2)
        unit = self._units.find(expression)
        if unit is not None:
            return self._stand(expression, unit, after), self._units.is_nullable(unit)
        if isinstance(expression, Reference):
            self._follow[expression.name] |= after
            return self._first[expression.name], expression.name in self._empty
        if isinstance(expression, Choice):
            first, is_empty = 0, False
            for item in expression.items:
                item_first, item_is_empty = self._visit(item, after)
                first |= item_first
                is_empty |= item_is_empty
            return first, is_empty
        if isinstance(expression, Repeat):
            first, is_empty = self._visit(expression.item, after)
            if expression.high != 1:
                first, is_empty = self._visit(expression.item, after | first)
            return first, is_empty or expression.low == 0
        assert isinstance(expression, Sequence)
        first, is_empty = 0, True
        for item in reversed(expression.items):
            item_first, item_is_empty = self._visit(item, after)
            first = item_first | first if item_is_empty else item_first
            after = item_first | after if item_is_empty else item_first
            is_empty = is_empty and item_is_empty
        return first, is_empty

    def _stand(self, expression: Expression, unit: int, after: Places) -> Places:
        """The place where a unit stands."""
        place = self._place.setdefault(id(expression), len(self.units))
        if place == len(self.units):
            self.units.append(unit)
            self.after.append(0)
        self.after[place] |= after
        return 1 << place

    # -------------------------------------------------------------- conflicts

    def conflicts(self) -> set[int]:
        """Units that the lexer would go on with where the text may go on behind another unit.

        Looks at all pairs of places that can be allowed at the same time: at first those of the
        start, then those that follow two places at which the same text may stand.
        """
        first = [self._units.first_bytes(unit) for unit in self.units]
        behind = [self._union(first, places) for places in self.after]
        alike = self._alike()
        found: set[int] = set()
        beside: list[Places] = [0] * len(self.units)
        waiting: list[tuple[Place, Places]] = []
        self._pair(self.start, self.start, beside, waiting)
        paired: set[tuple[Places, Places]] = set()
        while waiting:
            place, others = waiting.pop()
            unit, after = self.units[place], self.after[place]
            for other in bits(others & alike[place]):
                self._effort.spend(4)
                rival = self.units[other]
                if self._units.going_on(unit, rival) & behind[place]:
                    found.add(rival)
                ways = (after, self.after[other])
                if self._units.meet(unit, rival) and ways not in paired:
                    paired.add(ways)
                    self._pair(*ways, beside, waiting)
        return found

    def _alike(self) -> list[Places]:
        """Of each place those that may begin with the same character."""
        holders: dict[int, Places] = {}
        firsts = [self._units.first(unit) for unit in self.units]
        for place, symbols in enumerate(firsts):
            for symbol in bits(symbols):
                self._effort.spend(1)
                holders[symbol] = holders.get(symbol, 0) | 1 << place
        found: dict[Symbols, Places] = dict.fromkeys(firsts, 0)
        for symbols in found:
            for symbol in bits(symbols):
                self._effort.spend(1)
                found[symbols] |= holders[symbol]
        return [found[symbols] for symbols in firsts]

    def _pair(
        self,
        one: Places,
        other: Places,
        beside: list[Places],
        waiting: list[tuple[Place, Places]],
    ) -> None:
        """All of `one` can be allowed beside all of `other`: note what is new of that."""
        for place in bits(one):
            self._effort.spend(1)
            new = other & ~beside[place]
            if new:
                beside[place] |= new
                waiting.append((place, new))

    def _union(self, sets: list[Bytes], places: Places) -> Bytes:
        """All bytes in the sets of some places."""
        found = 0
        for place in bits(places):
            self._effort.spend(1)
            found |= sets[place]
        return found
