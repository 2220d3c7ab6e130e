"""Every construct of GBNF: what it accepts, what it rejects, and what is no grammar."""

from __future__ import annotations

from contextlib import suppress

import pytest

from zigllm_cli.errors import InputError
from zigllm_cli.grammar import from_gbnf
from zigllm_cli.grammar.gbnf import parse_gbnf
from zigllm_cli.tokenizers import Tokenizer

CONSTRUCTS = {
    "literal": ('root ::= "hear me"', ["hear me"], ["hear", "hear me!", ""]),
    "escapes": (r'root ::= "\n\t\r\\\"\x41\u00e9\U0001F999"', ['\n\t\r\\"Aé🦙'], ["ntr"]),
    "set": (r"root ::= [a-c\-x\]] [^a-c]", ["a-", "-x", "]é", "xd"], ["da", "aa", "a"]),
    "dash at the end": ("root ::= [a-]+", ["a-a"], ["b"]),
    "caret inside": ("root ::= [a^]+", ["^a"], ["b"]),
    "any": ("root ::= . .", ["ab", "é\n", "🦙x"], ["a", "abc"]),
    "nothing excluded": ("root ::= [^]+", ["a\n"], [""]),
    "alternatives": ('root ::= "a" | "bc" | ""', ["a", "bc", ""], ["b", "abc"]),
    "group": ('root ::= ("a" | "b") "c"', ["ac", "bc"], ["c", "abc"]),
    "star": ('root ::= "a"*', ["", "a", "aaaa"], ["b"]),
    "plus": ('root ::= ("ab")+', ["ab", "abab"], ["", "a", "aba"]),
    "optional": ('root ::= "a"? "b"', ["ab", "b"], ["a", "aab"]),
    "exactly": ("root ::= [0-9]{3}", ["123"], ["12", "1234"]),
    "at least": ("root ::= [0-9]{2,}", ["12", "12345"], ["1"]),
    "between": ('root ::= ("a" "b"?){1,2}', ["a", "ab", "aba", "abab"], ["", "b", "aaa"]),
    "none": ('root ::= "x"{0} "y"', ["y"], ["xy"]),
    "of a literal, the whole": ('root ::= "ab"{2}', ["abab"], ["abb"]),
    "rules": ("root ::= x-1 x-1\nx-1 ::= [ab]", ["ab", "bb"], ["a", "abc"]),
    "recursion": ('root ::= "(" root ")" | "x"', ["x", "((x))"], ["(x", "()"]),
    "comments and lines": (
        '# a\nroot ::= # b\n  "a" # c\n\n\nx ::= "b" |\n  "c"\n',
        ["a"],
        ["b"],
    ),
    "lines inside parentheses": ('root ::= (\n "a"\n "b" # c\n | "c"\n)', ["ab", "c"], ["a"]),
    "the longest is not the right one": ('root ::= [a-z]* "b"', ["b", "aab", "abb"], ["a"]),
    "nor is it here": ('root ::= x "b"\nx ::= "(" x ")" | [a-z]*', ["b", "abb", "(a)b"], ["a"]),
    "two that begin alike": ('root ::= ("a" "bc" | "ab" "d") root?', ["abc", "abdabc"], ["ab"]),
    "spaces around counts": ('root ::= "a" { 1 , 2 }', ["a", "aa"], ["aaa"]),
}


CHAIN = "".join(f'r{n} ::= "a" r{n + 1}\n' for n in range(600)) + 'r600 ::= "b"'


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_construct(name: str, tokenizer: Tokenizer, accepts) -> None:
    text, good, bad = CONSTRUCTS[name]
    grammar = from_gbnf(text, tokenizer)
    assert {sample: accepts(grammar, sample) for sample in good} == dict.fromkeys(good, True)
    assert {sample: accepts(grammar, sample) for sample in bad} == dict.fromkeys(bad, False)


def test_tokens_by_id_and_text(tokenizer: Tokenizer) -> None:
    ids = {"<s>": 1}
    rules = parse_gbnf('root ::= <[7]> !<s> "a"', ids.get)
    assert "Token(id=7, is_negated=False)" in str(rules["root"])
    assert "Token(id=1, is_negated=True)" in str(rules["root"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rule 'root'"),
        ('x ::= "a"', "no rule 'root'"),
        ("root ::= x", "line 1, column 10: there is no rule 'x'"),
        ('root = "a"', "expected '::='"),
        ('root ::= "a', "the text ends inside quotes"),
        ("root ::= [a", "the text ends inside quotes"),
        ("root ::= [b-a]", "a range ends before it begins"),
        ("root ::= []", "an empty set"),
        ('root ::= ("a"', "expected '\\)'"),
        ('root ::= "a")', "expected the end of the rule"),
        ("root ::= *", "nothing before it to repeat"),
        ('root ::= "a"{,3}', "expected {m}"),
        ('root ::= "a"{3,2}', "ends before it begins"),
        ('root ::= "a"{2001}', "more than 2000 repetitions"),
        ('root ::= ("a"{100}){100}', "more than 2000 repetitions"),
        ('root ::= "a"{99999999999}', "larger than 2000"),
        (r'root ::= "\q"', r"unknown escape \\q"),
        (r'root ::= "\x4"', r"unknown escape \\x4"),
        (r'root ::= "\UFFFFFFFF"', "no code point"),
        ('root ::= root "a" | "b"', "rule 'root' begins with itself"),
        ('root ::= x\nx ::= "a"? root "b"', "begins with itself"),
        ("root ::= <nothing>", "<nothing> is not a token"),
        ("root ::= " + "(" * 500 + '"a"' + ")" * 500, "parentheses inside each other"),
        ("root ::= \x00", "line 1, column 10"),
        (
            "root ::= r0\n"
            + "".join(f'r{n} ::= "a" r{n + 1}\n' for n in range(600))
            + 'r600 ::= "b"',
            "more than 500 rules inside each other",
        ),
    ],
)
def test_what_is_no_grammar(text: str, message: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=message):
        from_gbnf(text, tokenizer)


def test_any_text_is_a_grammar_or_a_sentence(tokenizer: Tokenizer) -> None:
    """Every beginning of a grammar, and every grammar with a character changed."""
    text = 'root ::= x{1,2} ("a" | [^b-c\\n])* <[3]>\nx ::= "(" root ")" | .?'
    for cut in range(len(text)):
        for broken in (text[:cut], text[:cut] + "]" + text[cut + 1 :]):
            with suppress(InputError):
                parse_gbnf(broken, lambda _: None)


def test_repetitions_without_end_are_a_sentence(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError):
        from_gbnf("root ::= x" + "+" * 5000 + '\nx ::= "a"', tokenizer)
    deep = "\n".join(f"r{n} ::= r{n + 1} r{n + 1}" for n in range(60))
    with pytest.raises(InputError, match="allows no text of less than 50000 char"):
        from_gbnf(f'root ::= r0\n{deep}\nr60 ::= "a"', tokenizer)
    from_gbnf(f'root ::= r0\n{deep}\nr60 ::= "a"?', tokenizer)
