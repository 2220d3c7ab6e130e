"""Grammars as trees: what a text may be, in terms of code points and tokens.

A grammar is a rule of this kind per name; `root` is the whole text. Sets of code points are sorted
tuples of inclusive ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

LAST = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Chars:
    """One code point out of a set."""

    ranges: Ranges


@dataclass(frozen=True)
class Token:
    """One token of the vocabulary, or any but it."""

    id: int
    is_negated: bool = False


@dataclass(frozen=True)
class Reference:
    """What another rule says."""

    name: str


@dataclass(frozen=True)
class Sequence:
    """One after the other; without items, nothing."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Choice:
    """One of several."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Repeat:
    """So many times; `high` is None where there is no limit."""

    item: Expression
    low: int
    high: int | None


Expression = Chars | Token | Reference | Sequence | Choice | Repeat

Rules = Mapping[str, Expression]


def literal(text: str) -> Expression:
    """Exactly this text."""
    items = tuple(Chars(((ord(c), ord(c)),)) for c in text)
    return items[0] if len(items) == 1 else Sequence(items)


def children(expression: Expression) -> tuple[Expression, ...]:
    """The parts that an expression is made of."""
    if isinstance(expression, Sequence | Choice):
        return expression.items
    return (expression.item,) if isinstance(expression, Repeat) else ()


def walk(expression: Expression) -> Iterator[Expression]:
    """An expression and everything in it."""
    yield expression
    for child in children(expression):
        yield from walk(child)


def union(sets: Iterable[Ranges]) -> Ranges:
    """Code points in any of the sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(part for ranges in sets for part in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Code points outside a set."""
    free, gaps = 0, []
    for low, high in union([ranges]):
        if free < low:
            gaps.append((free, low - 1))
        free = high + 1
    return (*gaps, (free, LAST)) if free <= LAST else tuple(gaps)


def overlap(one: Ranges, other: Ranges) -> bool:
    """Whether two sets have a code point in common."""
    return any(a <= d and c <= b for a, b in one for c, d in other)


def references(expression: Expression) -> set[str]:
    """Names of the rules that an expression speaks of."""
    return {part.name for part in walk(expression) if isinstance(part, Reference)}


def nullable_rules(rules: Rules) -> set[str]:
    """Names of the rules that an empty text fulfils."""
    users: dict[str, list[str]] = {name: [] for name in rules}
    for name, rule in rules.items():
        for used in references(rule):
            users[used].append(name)
    empty: set[str] = set()
    waiting = list(rules)
    while waiting:
        name = waiting.pop()
        if name not in empty and is_nullable(rules[name], empty):
            empty.add(name)
            waiting += users[name]
    return empty


def shortest_texts(rules: Rules) -> dict[str, float]:
    """Characters in the shortest text of each rule; infinity where a rule never ends."""
    lengths = dict.fromkeys(rules, inf)
    while True:
        before = dict(lengths)
        for name in reversed(list(rules)):
            lengths[name] = min(lengths[name], _shortest(rules[name], lengths))
        if lengths == before:
            return lengths


def _shortest(expression: Expression, lengths: Mapping[str, float]) -> float:
    if isinstance(expression, Reference):
        return lengths[expression.name]
    if isinstance(expression, Repeat):
        return expression.low * _shortest(expression.item, lengths) if expression.low else 0
    if isinstance(expression, Sequence):
        return sum(_shortest(item, lengths) for item in expression.items)
    if isinstance(expression, Choice):
        return min(_shortest(item, lengths) for item in expression.items)
    return 1


def is_nullable(expression: Expression, empty: set[str]) -> bool:
    """Whether an expression matches nothing at all, given the rules that do."""
    if isinstance(expression, Sequence):
        return all(is_nullable(item, empty) for item in expression.items)
    if isinstance(expression, Choice):
        return any(is_nullable(item, empty) for item in expression.items)
    if isinstance(expression, Repeat):
        return expression.low == 0 or is_nullable(expression.item, empty)
    return isinstance(expression, Reference) and expression.name in empty
