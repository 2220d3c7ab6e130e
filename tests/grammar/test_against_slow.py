"""The same grammar allows the same tokens when every token is tried, one after the other."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
import pytest
from slow_grammar import Reading

from zigllm_cli.errors import InputError
from zigllm_cli.grammar.gbnf import parse_gbnf
from zigllm_cli.grammar.lark import to_lark

GRAMMARS = 80

LEAVES = [
    *('"a"', '"ab"', '"b"', '"the"', '"\\n"', '"é"', '"è"', '"あ"', '"(" ', '""'),
    *("[a-c]", "[ab]", "[a-z ]", "[^a]", "[^é]", "."),
    *("[é]+", "[a-bé]*", "[あい]*", "[^()]*", '"\\"" [^"]* "\\""'),
]


class Vocabulary:
    """Characters, pairs and words of them, and bytes that are parts of characters."""

    eos_token_id = 0
    bos_token_id = None
    special_token_ids = (0,)
    tokens = (
        b"<end>",
        *(c.encode() for c in 'abcthe"() \néèあい'),
        *("".join(pair).encode() for pair in product("ab(é)", repeat=2)),
        *("".join(three).encode() for three in product("abt", repeat=3)),
        *(t.encode() for t in ("the", "aba(b", 'a")', "éè", "(é)", "aあい", "abcabcabc")),
        *(b"a\xc3", b"\xc3", b"\xa9b", b"\xa8", b"\xe3\x81", b"\xe3", b"\x82a", b"\x84"),
        *(bytes([byte]) for byte in (0, 1, 0xE0, 0xED, 0xF0, 0xF4, 0x90, 0x80, 0xBF, 0xFF, 0xC0)),
    )

    def __call__(self, text: bytes) -> list[int]:
        return [self.tokens.index(char.encode()) for char in text.decode("utf-8", "ignore")]


def expression(rng: random.Random, depth: int, names: list[str]) -> str:
    kind = rng.random()
    if depth == 0 or kind < 0.35:
        return rng.choice(LEAVES)
    if kind < 0.5:
        parts = (expression(rng, depth - 1, names) for _ in range(rng.randint(1, 3)))
        return f"({' | '.join(parts)})"
    if kind < 0.7:
        return " ".join(expression(rng, depth - 1, names) for _ in range(rng.randint(2, 3)))
    if kind < 0.85:
        counts = rng.choice(["*", "+", "?", "{2}", "{1,3}", "{2,}", "{0,2}"])
        return f"({expression(rng, depth - 1, names)}){counts}"
    return rng.choice(names)


def grammar(rng: random.Random) -> str:
    names = ["root", "x", "y", "z"][: rng.randint(1, 4)]
    rules = []
    for name in names:
        body = expression(rng, rng.randint(2, 4), names[1:] or ['"c"'])
        nested = f'"(" {rng.choice(names)} ")" | ' if rng.random() < 0.5 else ""
        rules.append(f"{name} ::= {nested}{body}")
    return "\n".join(rules)


@pytest.fixture(scope="module")
def tokens() -> Any:
    from llguidance import LLTokenizer
    from llguidance._tokenizer import TokenizerWrapper

    size = len(Vocabulary.tokens)
    return LLTokenizer(TokenizerWrapper(Vocabulary()), n_vocab=size, eos_token=[0])


def matcher(tokens: Any, lark: str) -> Any:
    """A matcher that allows every spelling of what must come next."""
    from llguidance import LLMatcher

    text = LLMatcher.grammar_from_lark('%llguidance {"no_forcing": true}\n' + lark)
    return LLMatcher(tokens, text, log_level=0)


def same_masks(tokens: Any, text: str, rng: random.Random) -> int:
    """Follow a random text; returns how many masks were compared."""
    rules = parse_gbnf(text, lambda _: None)
    fast, slow = matcher(tokens, to_lark(rules)), Reading(rules)
    said = b""
    for step in range(8):
        if len(slow.ways) > 400:
            return step
        ways = {t: slow.go_on(piece) for t, piece in enumerate(Vocabulary.tokens) if t}
        expected = {token for token, way in ways.items() if way}
        bits = np.frombuffer(fast.compute_bitmask(), np.uint8)
        if fast.is_error():
            assert not expected | ({0} if slow.is_whole else set()), (text, said)
            return step
        found = set(np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist())
        assert found == expected | ({0} if slow.is_whole else set()), (text, said)
        if not expected:
            return step + 1
        token = rng.choice(sorted(expected))
        fast.consume_token(token)
        said += Vocabulary.tokens[token]
        slow = ways[token]
    return 8


def test_same_masks_on_random_grammars(tokens: Any) -> None:
    steps = 0
    for seed in range(GRAMMARS):
        rng = random.Random(seed)
        text = grammar(rng)
        try:
            steps += same_masks(tokens, text, rng)
        except InputError:  # a rule that begins with itself
            continue
    assert steps > 2 * GRAMMARS


@pytest.mark.parametrize(
    "text",
    [
        'root ::= [é]* x\nx ::= "(" x ")" | "è"',
        'root ::= name "(" root? ")" | "the" " " root\nname ::= [a-h]+',
        'root ::= ("a" "bc" | "ab" "d" | "ab") root?',
        'root ::= "(" root? ")" | [ab]* "a" [ab]{3} " " root?',
        'root ::= x x x\nx ::= "a" x | "a" | ""',
    ],
)
def test_same_masks_where_lexemes_are_hard(text: str, tokens: Any) -> None:
    assert sum(same_masks(tokens, text, random.Random(seed)) for seed in range(5)) > 5
