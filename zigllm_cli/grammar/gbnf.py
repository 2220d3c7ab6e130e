r"""GBNF, llama.cpp's way of writing grammars, read as llama.cpp reads it.

    root  ::= item ("," item)*      # comment
    item  ::= [a-z]+ | "\"" [^"]{1,20} "\"" | <think>

Literals, sets ([a-z], [^"], .), groups, alternatives, * + ? {m} {m,} {m,n}, escapes \n \t \r \\ \"
\[ \] \- \xHH \uHHHH \UHHHHHHHH, and single tokens: <[123]> by id, <think> by text, !<think> for any
other. A rule ends with its line, except inside parentheses and behind `|` or `::=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from math import inf

from zigllm_cli.errors import InputError
from zigllm_cli.grammar.expressions import (
    LAST,
    Chars,
    Choice,
    Expression,
    Reference,
    Repeat,
    Rules,
    Sequence,
    Token,
    complement,
    is_nullable,
    literal,
    nullable_rules,
    references,
    shortest_texts,
    union,
)

ROOT = "root"

MOST_REPETITIONS = 2000
"""A larger count, also by repetitions of repetitions, is refused: it would take all memory."""

MOST_NESTED = 100
"""Parentheses inside each other, or repetitions of repetitions."""

MOST_DEEP = 500
"""Rules that lead to each other in a chain: the automaton's library has a stack for 2000."""

LONGEST = 50_000
"""Characters that a rule may ask for; by doubling, sixty rules could ask for any number."""

TokenId = Callable[[str], int | None]
"""The id of the token with a text; None where the text is not one token."""

_NAME = re.compile(r"[A-Za-z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_COUNTS = re.compile(r"\{\s*(\d+)\s*(?:(,)\s*(\d*)\s*)?\}")
_TOKEN = re.compile(r"(!?)<(?:\[(\d+)\]|([^<>\[][^>]*))>")
_HEX = {"x": 2, "u": 4, "U": 8}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", **{c: c for c in '\\"[]-'}}
_LOOPS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def parse_gbnf(text: str, token_id: TokenId, *, name: str = "the grammar") -> Rules:
    """The rules of a grammar; all that are named exist, and none begins with itself.

    Args:
        token_id: finds tokens by their text.
        name: of the grammar, for messages.

    Raises:
        InputError: not GBNF; the message says where.
    """
    rules = _Parser(text, token_id, name).rules()
    if ROOT not in rules:
        raise InputError(f"{name} has no rule 'root', which every grammar begins with")
    empty = nullable_rules(rules)
    try:
        TopologicalSorter({rule: _leftmost(body, empty) for rule, body in rules.items()}).prepare()
    except CycleError as error:
        rule = error.args[1][0]
        raise InputError(f"{name}: rule {rule!r} begins with itself (left recursion)") from None
    if _depth(rules) > MOST_DEEP:
        raise InputError(f"{name} has more than {MOST_DEEP} rules inside each other")
    for rule, length in shortest_texts(rules).items():
        if LONGEST < length < inf:
            raise InputError(
                f"{name}: rule {rule!r} allows no text of less than {LONGEST} characters"
            )
    return rules


class _Parser:
    """Reads from left to right; `_at` is the place."""

    def __init__(self, text: str, token_id: TokenId, name: str) -> None:
        self._text, self._at, self._name = text, 0, name
        self._token_id = token_id
        self._named: dict[str, int] = {}
        self._depth = 0

    def rules(self) -> dict[str, Expression]:
        rules: dict[str, Expression] = {}
        self._skip(lines=True)
        while self._at < len(self._text):
            name = self._match(_NAME, "a rule's name").group()
            self._skip(lines=False)
            self._expect("::=")
            self._skip(lines=True)
            rules[name] = self._choice(lines=False)
            if self._peek() not in ("", "\r", "\n"):
                raise self._error("expected the end of the rule")
            self._skip(lines=True)
        for name, place in self._named.items():
            if name not in rules:
                self._at = place
                raise self._error(f"there is no rule {name!r}")
        return rules

    # -------------------------------------------------------------- expressions

    def _choice(self, *, lines: bool) -> Expression:
        items = [self._sequence(lines=lines)]
        while self._peek() == "|":
            self._at += 1
            self._skip(lines=True)
            items.append(self._sequence(lines=lines))
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def _sequence(self, *, lines: bool) -> Expression:
        items: list[Expression] = []
        while (item := self._item()) is not None:
            self._skip(lines=lines)
            for _ in range(MOST_NESTED):
                if (counts := self._counts()) is None:
                    break
                item = self._repeat(item, *counts)
                self._skip(lines=lines)
            items.append(item)
        if self._peek() in "*+?{" and self._peek():
            raise self._error(f"{self._peek()!r} has nothing before it to repeat")
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self) -> Expression | None:
        start = self._peek()
        if start == '"':
            return self._literal()
        if start == "[":
            return self._set()
        if start == ".":
            self._at += 1
            return Chars(((0, LAST),))
        if start == "(":
            return self._group()
        if start in ("<", "!"):
            return self._token()
        if start and _NAME.match(start):
            place = self._at
            name = self._match(_NAME, "a name").group()
            self._named.setdefault(name, place)
            return Reference(name)
        return None

    def _literal(self) -> Expression:
        self._at += 1
        text = ""
        while self._peek() != '"':
            text += self._character()
        self._at += 1
        return literal(text)

    def _set(self) -> Expression:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            low = high = ord(self._character())
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                high = ord(self._character())
            if low > high:
                raise self._error("a range ends before it begins")
            ranges.append((low, high))
        self._at += 1
        if not ranges and not negated:
            raise self._error("an empty set [] matches nothing")
        found = union([tuple(ranges)])
        return Chars(complement(found) if negated else found)

    def _group(self) -> Expression:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise self._error(f"more than {MOST_NESTED} parentheses inside each other")
        self._at += 1
        self._skip(lines=True)
        inside = self._choice(lines=True)
        self._expect(")")
        self._depth -= 1
        return inside

    def _token(self) -> Expression:
        match = self._match(_TOKEN, "a token: <[id]>, <text> or !<text>")
        negated, number, _ = match.groups()
        if number is not None:
            return Token(int(number), bool(negated))
        text = match.group().removeprefix("!")
        found = self._token_id(text)
        if found is None:
            raise self._error(f"{text} is not a token of this model; write <[id]> for one by id")
        return Token(found, bool(negated))

    def _counts(self) -> tuple[int, int | None] | None:
        sign = self._peek()
        if sign in _LOOPS:
            self._at += 1
            return _LOOPS[sign]
        if sign != "{":
            return None
        low, comma, high = self._match(_COUNTS, "{m}, {m,} or {m,n}").groups()
        if len(low) > 9 or len(high or "") > 9:
            raise self._error(f"a count is larger than {MOST_REPETITIONS}")
        return int(low), int(high) if high else None if comma else int(low)

    def _repeat(self, item: Expression, low: int, high: int | None) -> Expression:
        if high is not None and high < low:
            raise self._error(f"{{{low},{high}}} ends before it begins")
        repeated = Repeat(item, low, high)
        if _size(repeated) > MOST_REPETITIONS:
            raise self._error(f"more than {MOST_REPETITIONS} repetitions")
        return repeated

    # -------------------------------------------------------------- characters

    def _character(self) -> str:
        c = self._peek()
        if not c:
            raise self._error("the text ends inside quotes or brackets")
        self._at += 1
        if c != "\\":
            return c
        kind = self._peek()
        self._at += 1
        if kind in _ESCAPES:
            return _ESCAPES[kind]
        digits = self._text[self._at : self._at + _HEX.get(kind, 0)]
        if not digits or not re.fullmatch(f"[0-9A-Fa-f]{{{_HEX[kind]}}}", digits):
            raise self._error(f"unknown escape \\{kind}{digits}")
        self._at += len(digits)
        if int(digits, 16) > LAST:
            raise self._error(f"\\{kind}{digits} is no code point")
        return chr(int(digits, 16))

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, *, lines: bool) -> None:
        match = (_SPACE_AND_LINES if lines else _SPACE).match(self._text, self._at)
        assert match
        self._at = match.end()

    def _match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if not match:
            raise self._error(f"expected {what}")
        self._at = match.end()
        return match

    def _expect(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            raise self._error(f"expected {text!r}")
        self._at += len(text)

    def _error(self, what: str) -> InputError:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - (self._text.rfind("\n", 0, self._at) + 1) + 1
        return InputError(f"{self._name}, line {line}, column {column}: {what}")


def _size(expression: Expression) -> int:
    """Repetitions of the innermost part, written out."""
    if isinstance(expression, Repeat):
        times = expression.low if expression.high is None else expression.high
        return max(times, 1) * _size(expression.item)
    if isinstance(expression, Sequence | Choice):
        return max(map(_size, expression.items), default=1)
    return 1


def _depth(rules: Rules) -> int:
    """How deep one comes by following each rule at its first use."""
    deepest, seen, path = 0, {ROOT}, [iter(sorted(references(rules[ROOT])))]
    while path:
        deepest = max(deepest, len(path))
        name = next((name for name in path[-1] if name not in seen), None)
        if name is None:
            path.pop()
        else:
            seen.add(name)
            path.append(iter(sorted(references(rules[name]))))
    return deepest


def _leftmost(expression: Expression, empty: set[str]) -> set[str]:
    """Rules that may stand first in an expression."""
    if isinstance(expression, Reference):
        return {expression.name}
    if isinstance(expression, Repeat):
        return _leftmost(expression.item, empty)
    found: set[str] = set()
    if isinstance(expression, Choice):
        for item in expression.items:
            found |= _leftmost(item, empty)
    if isinstance(expression, Sequence):
        for item in expression.items:
            found |= _leftmost(item, empty)
            if not is_nullable(item, empty):
                break
    return found
