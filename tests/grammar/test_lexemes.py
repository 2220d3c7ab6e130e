"""Parts of a grammar that are read as one lexeme: only where that cannot change anything."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.grammar.alphabet import Alphabet, bits
from zigllm_cli.grammar.automaton import Effort, TooLongError, automaton_of, compare
from zigllm_cli.grammar.expressions import LAST, complement, literal, overlap, union
from zigllm_cli.grammar.gbnf import parse_gbnf
from zigllm_cli.grammar.lark import regular_expression
from zigllm_cli.grammar.lexemes import find_lexemes

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
        'root ::= [é]* x\nx ::= "(" x ")" | "è"',  # é and è begin with the same byte
    ],
)
def test_what_could_be_read_otherwise_is_not(text: str) -> None:
    for regex in lexemes(text):
        assert "*" not in regex
        assert "{0,}" not in regex


def test_a_regular_grammar_is_one_lexeme() -> None:
    assert len(lexemes('root ::= [a-z]* "b" x\nx ::= "c"{2,3}')) == 1


def test_words_and_what_begins_like_them() -> None:
    """A keyword beside a name, as in every programming language."""
    found = lexemes(
        'root ::= (line ";")*\n'
        'line ::= name ws "=" ws sum | "return" ws sum | "if" "(" sum ")" "{" root "}"\n'
        'sum ::= item ("+" item)*\nitem ::= name | [0-9]+ | "(" sum ")" | name "(" sum? ")"\n'
        "name ::= [a-z] [a-z0-9]*\nws ::= [ \\n]+"
    )
    texts = {readable(regex) for regex in found}
    assert {"[a-z](?:[0-9a-z]){0,}", "[r][e][t][u][r][n]", "[i][f]"} <= texts


def test_what_two_automata_have_in_common() -> None:
    rules = parse_gbnf('root ::= "i" "f"\nname ::= [a-z]+\nx ::= "i"?', lambda _: None)
    alphabet = Alphabet([((97, 122),), ((102, 102),), ((105, 105),)])
    word, name, x = (
        automaton_of(rules[rule], rules, alphabet, Effort(1000)) for rule in ("root", "name", "x")
    )
    assert not word.ends & {0}
    assert x.ends >= {0}
    found = compare(word, name, Effort(1000))
    assert found.meets
    assert found.one_goes_on == alphabet.symbols[((102, 102),)]  # behind the name "i"
    assert found.other_goes_on == alphabet.symbols[((97, 122),)]
    assert not compare(word, x, Effort(1000)).meets
    with pytest.raises(TooLongError):
        compare(word, name, Effort(3))


@given(st.lists(RANGES.map(lambda ranges: union([ranges])), max_size=5))
def test_classes_of_code_points(sets: list[tuple]) -> None:
    alphabet = Alphabet(sets)
    for one in sets:
        first = {chr(code).encode()[0] for low, high in one for code in range(low, high + 1)}
        assert set(bits(alphabet.first_bytes(alphabet.symbols[one]))) == first
        for other in sets:
            both = alphabet.symbols[one] & alphabet.symbols[other]
            assert bool(both) == overlap(one, other)


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
