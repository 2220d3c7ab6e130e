"""Regular expressions as deterministic automata, and what two of them have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from zigllm_cli.grammar.alphabet import Alphabet, Symbols
from zigllm_cli.grammar.expressions import (
    Chars,
    Choice,
    Expression,
    Reference,
    Repeat,
    Rules,
    Sequence,
)


class TooLongError(Exception):
    """It takes more work than it is worth."""


@dataclass
class Effort:
    """Work that may still be done, in steps of about half a microsecond."""

    left: int

    def spend(self, steps: int) -> None:
        """Raises TooLongError when there is none left."""
        self.left -= steps
        if self.left < 0:
            raise TooLongError


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton over the classes of an alphabet.

    State 0 is the empty text; no arc leads back to it.

    Attributes:
        arcs: of each state, disjoint sets of symbols with the state that each leads to.
        ends: the states in which the text is a match.
    """

    arcs: list[list[tuple[Symbols, int]]]
    ends: set[int]

    def onward(self, state: int) -> Symbols:
        """With what a text in this state can go on."""
        found = 0
        for symbols, _ in self.arcs[state]:
            found |= symbols
        return found


@dataclass(frozen=True)
class Comparison:
    """How two automata meet.

    Attributes:
        meets: whether a text that is not empty is a match of both.
        other_goes_on: with what the second goes on where the first has a match.
        one_goes_on: the same of the first.
    """

    meets: bool
    other_goes_on: Symbols
    one_goes_on: Symbols

    def reversed(self) -> Comparison:
        return Comparison(self.meets, self.one_goes_on, self.other_goes_on)


def compare(one: Automaton, other: Automaton, effort: Effort) -> Comparison:
    """Run both side by side over all texts that both can begin with.

    Raises:
        TooLongError: there are too many.
    """
    meets, one_goes_on, other_goes_on = False, 0, 0
    seen, waiting = set(), [(0, 0)]
    while waiting:
        state = a, b = waiting.pop()
        if state != (0, 0):
            meets = meets or (a in one.ends and b in other.ends)
            one_goes_on |= one.onward(a) if b in other.ends else 0
            other_goes_on |= other.onward(b) if a in one.ends else 0
        effort.spend(8 + len(one.arcs[a]) * len(other.arcs[b]))
        for symbols, next_a in one.arcs[a]:
            for others, next_b in other.arcs[b]:
                if symbols & others and (next_a, next_b) not in seen:
                    seen.add((next_a, next_b))
                    waiting.append((next_a, next_b))
    return Comparison(meets, other_goes_on, one_goes_on)


def automaton_of(
    expression: Expression, rules: Rules, alphabet: Alphabet, effort: Effort
) -> Automaton:
    """The automaton of a regular expression (by Thompson's, then the subset construction).

    Raises:
        TooLongError: it has too many states.
    """
    nfa = _Nfa(rules, alphabet)
    start = nfa.state()
    end = nfa.build(expression, start)
    begin = nfa.closure({start})
    numbers, waiting = {begin: 0}, [begin]
    arcs: list[list[tuple[Symbols, int]]] = []
    for states in waiting:
        arcs.append([])
        ways = [arc for state in states for arc in nfa.arcs[state]]
        effort.spend(10 + len(states))
        for symbols, targets in _disjoint(ways, effort):
            reached = nfa.closure(targets)
            if reached not in numbers:
                numbers[reached] = len(numbers)
                waiting.append(reached)
            arcs[-1].append((symbols, numbers[reached]))
    return Automaton(arcs, {number for states, number in numbers.items() if end in states})


def _disjoint(arcs: list[tuple[Symbols, int]], effort: Effort) -> list[tuple[Symbols, set[int]]]:
    """The sets of symbols cut so that no two overlap, with all states that each leads to."""
    pieces: list[tuple[Symbols, set[int]]] = []
    for symbols, target in arcs:
        effort.spend(1 + len(pieces))
        cut: list[tuple[Symbols, set[int]]] = []
        for piece, targets in pieces:
            both = piece & symbols
            symbols &= ~both
            if both:
                cut.append((both, targets | {target}))
            if piece != both:
                cut.append((piece & ~both, targets))
        if symbols:
            cut.append((symbols, {target}))
        pieces = cut
    return pieces


@dataclass
class _Nfa:
    """Thompson's construction: arcs over symbols, and jumps over nothing."""

    rules: Rules
    alphabet: Alphabet
    arcs: list[list[tuple[Symbols, int]]] = field(default_factory=list)
    jumps: list[list[int]] = field(default_factory=list)

    def state(self) -> int:
        self.arcs.append([])
        self.jumps.append([])
        return len(self.arcs) - 1

    def build(self, expression: Expression, start: int) -> int:
        """Add an expression behind `start`; returns where it ends."""
        if isinstance(expression, Chars):
            end = self.state()
            self.arcs[start].append((self.alphabet.symbols[expression.ranges], end))
            return end
        if isinstance(expression, Reference):
            return self.build(self.rules[expression.name], start)
        if isinstance(expression, Sequence):
            for item in expression.items:
                start = self.build(item, start)
            return start
        if isinstance(expression, Choice):
            end = self.state()
            for item in expression.items:
                self.jumps[self.build(item, start)].append(end)
            return end
        assert isinstance(expression, Repeat)
        return self._repeat(expression, start)

    def _repeat(self, repeat: Repeat, start: int) -> int:
        for _ in range(repeat.low):
            start = self.build(repeat.item, start)
        if repeat.high is None:
            loop, end = self.state(), self.state()
            self.jumps[start].append(loop)
            self.jumps[loop].append(end)
            self.jumps[self.build(repeat.item, loop)].append(loop)
            return end
        end = self.state()
        self.jumps[start].append(end)
        for _ in range(repeat.high - repeat.low):
            start = self.build(repeat.item, start)
            self.jumps[start].append(end)
        return end

    def closure(self, states: set[int]) -> frozenset[int]:
        found, waiting = set(states), list(states)
        while waiting:
            for state in self.jumps[waiting.pop()]:
                if state not in found:
                    found.add(state)
                    waiting.append(state)
        return frozenset(found)
