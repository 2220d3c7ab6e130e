"""Grammars as llguidance reads them: its dialect of Lark."""

from __future__ import annotations

from zigllm_cli.grammar.expressions import (
    Chars,
    Choice,
    Expression,
    Reference,
    Repeat,
    Rules,
    Sequence,
    Token,
    is_nullable,
    nullable_rules,
)
from zigllm_cli.grammar.gbnf import ROOT
from zigllm_cli.grammar.lexemes import find_lexemes


def to_lark(rules: Rules) -> str:
    """The same grammar: every safe lexeme and every set of characters is a terminal."""
    return _Writer(rules).text()


class _Writer:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._lexemes = find_lexemes(rules)
        self._empty = nullable_rules(rules)
        self._terminals: dict[Expression, str] = {}
        self._names: dict[str, str] = {}
        self._waiting: list[str] = []

    def text(self) -> str:
        lines = [f"start: {self._write(Reference(ROOT))}"]
        while self._waiting:
            name = self._waiting.pop()
            lines.append(f"{self._names[name]}: {self._write(self._rules[name])}")
        for expression, name in self._terminals.items():
            lines.append(f"{name}: {self._regex(expression)}")
        return "\n".join(lines) + "\n"

    def _write(self, expression: Expression) -> str:
        if isinstance(expression, Token):
            return f"<[{'^' if expression.is_negated else ''}{expression.id}]>"
        if isinstance(expression, Chars) or expression in self._lexemes:
            name = self._terminals.setdefault(expression, f"T{len(self._terminals)}")
            return f"({name})?" if is_nullable(expression, self._empty) else name
        if isinstance(expression, Reference):
            if expression.name not in self._names:
                self._names[expression.name] = f"r{len(self._names)}"
                self._waiting.append(expression.name)
            return self._names[expression.name]
        if isinstance(expression, Repeat):
            return f"({self._write(expression.item)}){_times(expression)}"
        assert isinstance(expression, Sequence | Choice)
        parts = [self._write(item) for item in expression.items]
        if isinstance(expression, Sequence):
            return " ".join(parts) or '""'
        return f"({' | '.join(parts)})"

    def _regex(self, expression: Expression) -> str:
        regex = f"/{regular_expression(expression, self._rules)}/"
        return f"{regex} & /(?s:.)+/" if is_nullable(expression, self._empty) else regex


def _times(repeat: Repeat) -> str:
    if (repeat.low, repeat.high) in _SIGNS:
        return _SIGNS[repeat.low, repeat.high]
    return f"{{{repeat.low},{'' if repeat.high is None else repeat.high}}}"


_SIGNS = {(0, None): "*", (1, None): "+", (0, 1): "?"}


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
