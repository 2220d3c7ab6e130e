"""Parts of a grammar that are read as one lexeme: only where that cannot change anything."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.grammar.automaton import shape_of
from zigllm_cli.grammar.expressions import LAST, complement, literal, overlap, union
from zigllm_cli.grammar.gbnf import parse_gbnf
from zigllm_cli.grammar.lexemes import find_lexemes, regular_expression

RANGES = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda ends: (min(ends), max(ends)))
).map(tuple)


def lexemes(text: str) -> set[str]:
    rules = parse_gbnf(text, lambda _: None)
    return {regular_expression(lexeme, rules) for lexeme in find_lexemes(rules)}


def readable(regex: str) -> str:
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: chr(int(m[1], 16)), regex)


def test_strings_and_numbers_of_json() -> None:
    found = lexemes(
        "root ::= value\nvalue ::= object | string | number\n"
        'object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws\n'
        r'string ::= "\"" ([^"\\] | "\\" ["\\n])* "\"" ws'
        "\n"
        'number ::= "-"? [0-9]+ ("." [0-9]+)? ws\nws ::= [ \\n]*'
    )
    assert any('"' in readable(regex) for regex in found)
    assert any("[0-9]" in readable(regex) for regex in found)


@pytest.mark.parametrize(
    "text",
    [
        'root ::= x "b"\nx ::= "(" x ")" | [a-z]*',  # the loop would swallow the b
        'root ::= ("ab" | "a") root "c" | "x"',  # both begin with a; one rule cannot be a lexeme
    ],
)
def test_what_could_be_read_otherwise_is_not(text: str) -> None:
    for regex in lexemes(text):
        assert "*" not in regex
        assert "{0,}" not in regex


def test_a_regular_grammar_is_one_lexeme() -> None:
    assert len(lexemes('root ::= [a-z]* "b" x\nx ::= "c"{2,3}')) == 1


def test_extensions() -> None:
    rules = parse_gbnf('root ::= "a"+ | "b" "c"? | "d"', lambda _: None)
    shape = shape_of(rules["root"], rules)
    assert shape.first == ((97, 98), (100, 100))
    assert shape.extensions == ((97, 97), (99, 99))
    assert not shape.is_nullable
    quoted = parse_gbnf(r'root ::= "\"" [^"]* "\""', lambda _: None)
    assert shape_of(quoted["root"], quoted).extensions == ()


@given(RANGES, RANGES)
def test_sets(one: tuple, other: tuple) -> None:
    def members(ranges: tuple) -> set[int]:
        return {code for low, high in ranges for code in range(low, min(high, 400) + 1)}

    assert members(union([one, other])) == members(one) | members(other)
    assert members(complement(one)) == set(range(401)) - members(one)
    assert overlap(one, other) == bool(members(one) & members(other))
    assert complement(complement(one)) == union([one])
    assert complement(()) == ((0, LAST),)


def test_literals() -> None:
    rules = {"root": literal("a.b")}
    assert re.fullmatch(readable(regular_expression(rules["root"], rules)), "a.b")
