"""Grammars as llguidance reads them: its dialect of Lark."""

from __future__ import annotations

from zigllm_cli.grammar.automaton import shape_of
from zigllm_cli.grammar.expressions import (
    Chars,
    Choice,
    Expression,
    Reference,
    Repeat,
    Rules,
    Sequence,
    Token,
)
from zigllm_cli.grammar.gbnf import ROOT
from zigllm_cli.grammar.lexemes import find_lexemes, regular_expression


def to_lark(rules: Rules) -> str:
    """The same grammar: every safe lexeme and every set of characters is a terminal."""
    return _Writer(rules).text()


class _Writer:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._lexemes = find_lexemes(rules)
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
            return f"({name})?" if self._is_nullable(expression) else name
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

    def _is_nullable(self, expression: Expression) -> bool:
        return not isinstance(expression, Chars) and shape_of(expression, self._rules).is_nullable

    def _regex(self, expression: Expression) -> str:
        regex = f"/{regular_expression(expression, self._rules)}/"
        return f"{regex} & /(?s:.)+/" if self._is_nullable(expression) else regex


def _times(repeat: Repeat) -> str:
    if (repeat.low, repeat.high) in _SIGNS:
        return _SIGNS[repeat.low, repeat.high]
    return f"{{{repeat.low},{'' if repeat.high is None else repeat.high}}}"


_SIGNS = {(0, None): "*", (1, None): "+", (0, 1): "?"}
