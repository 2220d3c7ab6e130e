"""Text of a given form: grammars, JSON schemas, regular expressions and choices.

    constraint = Constraint(tokens_of(tokenizer), from_regex("[0-9]+"))
    chain = chain_for(tokenizer, sampling, constraint=constraint)

A constraint stands in front of the chain and leaves only tokens with which the text can still
become what it must be. llguidance keeps the automaton; GBNF is read here and rewritten for it.
"""

from zigllm_cli.grammar.constraint import Constraint, tokens_of
from zigllm_cli.grammar.forms import (
    from_choices,
    from_gbnf,
    from_json_object,
    from_json_schema,
    from_regex,
)

__all__ = [
    "Constraint",
    "from_choices",
    "from_gbnf",
    "from_json_object",
    "from_json_schema",
    "from_regex",
    "tokens_of",
]
