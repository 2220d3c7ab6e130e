"""What a text may be, in the forms that users give, as a grammar of llguidance.

A grammar is compiled anew for every sequence; what is wrong with it is said once, here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.grammar.gbnf import parse_gbnf
from zigllm_cli.grammar.lark import to_lark

if TYPE_CHECKING:
    from zigllm_cli.tokenizers import Tokenizer

WHITESPACE = r"( |\n[ \t]{0,20})"
"""Between the parts of JSON, once or not at all: small models would go on with it for ever."""


@dataclass(frozen=True)
class Grammar:
    """A grammar of llguidance.

    Attributes:
        text: as its matcher takes it.
        name: for messages.
    """

    text: str
    name: str


def from_gbnf(text: str, tokenizer: Tokenizer, *, name: str = "the grammar") -> Grammar:
    """A grammar in llama.cpp's syntax.

    Raises:
        InputError: it is malformed.
    """

    @cache
    def ids() -> dict[str, int]:
        return {piece: token for token, piece in enumerate(tokenizer.vocabulary.tokens)}

    rules = parse_gbnf(text, lambda piece: ids().get(piece), name=name)
    return _checked(_matcher().grammar_from_lark(to_lark(rules)), name)


def from_json_schema(schema: str, *, name: str = "the JSON schema") -> Grammar:
    """JSON that a schema allows.

    Raises:
        InputError: not JSON, or not a schema, or more than can be checked while generating.
    """
    try:
        parsed: Any = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON: {error}") from None
    if not isinstance(parsed, dict | bool):
        raise InputError(f"{name} is {type(parsed).__name__}, but must be an object")
    if isinstance(parsed, bool):
        parsed = {} if parsed else {"not": {}}
    options = {"whitespace_pattern": WHITESPACE}
    return _checked(_matcher().grammar_from_json_schema(json.dumps(parsed), options), name)


def from_json_object() -> Grammar:
    """Any JSON object."""
    return from_json_schema('{"type": "object"}')


def from_regex(pattern: str) -> Grammar:
    """Text that a regular expression matches as a whole.

    Raises:
        UsageError: it is malformed.
    """
    try:
        return _checked(
            _matcher().grammar_from_regex(pattern), f"the regular expression {pattern!r}"
        )
    except InputError as error:
        raise UsageError(str(error)) from None


def from_choices(choices: Sequence[str]) -> Grammar:
    """One of these texts.

    Raises:
        UsageError: one is empty.
    """
    if not all(choices):
        raise UsageError("a choice is empty; leave it out or give it some text")
    texts = " | ".join(json.dumps(choice) for choice in choices)
    return _checked(_matcher().grammar_from_lark(f"start: {texts}"), "the choice")


def _checked(grammar: str, name: str) -> Grammar:
    problem = _matcher().validate_grammar(grammar)
    if problem and not problem.startswith("WARNING"):
        raise InputError(f"{name} cannot be used: {' '.join(problem.split())[:300]}")
    return Grammar(grammar, name)


def _matcher() -> Any:
    from llguidance import LLMatcher

    return LLMatcher
