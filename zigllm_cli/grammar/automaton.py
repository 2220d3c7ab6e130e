"""The regular part of grammars as automata: how a match can be made longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

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
    union,
)

MOST_STATES = 200
"""Of the deterministic automaton; a larger one is given up."""


class TooLargeError(Exception):
    """The automaton has more states than it is worth."""


@dataclass
class _Nfa:
    """Thompson's construction: arcs over sets of code points, and arcs over nothing."""

    rules: Rules
    arcs: list[list[tuple[Ranges, int]]] = field(default_factory=list)
    jumps: list[list[int]] = field(default_factory=list)

    def state(self) -> int:
        if len(self.arcs) > 10 * MOST_STATES:
            raise TooLargeError
        self.arcs.append([])
        self.jumps.append([])
        return len(self.arcs) - 1

    def build(self, expression: Expression, start: int) -> int:
        """Add an expression behind `start`; returns where it ends."""
        if isinstance(expression, Chars):
            end = self.state()
            self.arcs[start].append((expression.ranges, end))
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

    def closure(self, states: frozenset[int]) -> frozenset[int]:
        found, waiting = set(states), list(states)
        while waiting:
            for state in self.jumps[waiting.pop()]:
                if state not in found:
                    found.add(state)
                    waiting.append(state)
        return frozenset(found)


@dataclass(frozen=True)
class Shape:
    """What lexing needs to know of a regular expression.

    Attributes:
        first: code points that a match may begin with.
        extensions: code points with which a whole match can go on to become a longer one.
        is_nullable: whether nothing at all is a match.
    """

    first: Ranges
    extensions: Ranges
    is_nullable: bool


def shape_of(expression: Expression, rules: Rules) -> Shape:
    """The shape of a regular expression; the empty match has no extensions.

    Raises:
        TooLargeError: it would take too long.
    """
    nfa = _Nfa(rules)
    start = nfa.state()
    end = nfa.build(expression, start)
    begin = nfa.closure(frozenset([start]))
    first = union(ranges for state in begin for ranges, _ in nfa.arcs[state])
    seen, waiting, extensions = {begin}, [begin], []
    while waiting:
        states = waiting.pop()
        arcs = [arc for state in states for arc in nfa.arcs[state]]
        if end in states and states != begin:
            extensions += [ranges for ranges, _ in arcs]
        for part in partition([ranges for ranges, _ in arcs]):
            into = frozenset(target for ranges, target in arcs if overlap(ranges, part))
            reached = nfa.closure(into)
            if reached not in seen:
                seen.add(reached)
                waiting.append(reached)
        if len(seen) > MOST_STATES:
            raise TooLargeError
    return Shape(first, union(extensions), end in begin)


def partition(sets: list[Ranges]) -> list[Ranges]:
    """The sets cut so that each piece is in or outside each of them."""
    borders = sorted({b for ranges in sets for low, high in ranges for b in (low, high + 1)})
    covered = union(sets)
    pieces = ((low, high - 1) for low, high in pairwise(borders))
    return [(piece,) for piece in pieces if overlap((piece,), covered)]


def regular_rules(rules: Rules, uses: Mapping[str, set[str]], most: int) -> dict[str, int]:
    """Rules without recursion and single tokens, with their size written out, up to `most`."""
    sizes: dict[str, int] = {}
    while True:
        found = {
            name: size
            for name, rule in rules.items()
            if name not in sizes
            and uses[name] <= sizes.keys()
            and (size := size_of(rule, sizes)) is not None
            and size <= most
        }
        if not found:
            return sizes
        sizes |= found


def size_of(expression: Expression, sizes: Mapping[str, int]) -> int | None:
    """Sets of code points in a regular expression written out; None if it is not regular."""
    if isinstance(expression, Chars):
        return 1
    if isinstance(expression, Reference):
        return sizes.get(expression.name)
    if isinstance(expression, Repeat):
        size = size_of(expression.item, sizes)
        times = expression.high if expression.high is not None else expression.low + 1
        return None if size is None else size * max(times, 1)
    if not isinstance(expression, Sequence | Choice):
        return None
    parts = [size_of(item, sizes) for item in expression.items]
    return None if None in parts else sum(part or 0 for part in parts)
