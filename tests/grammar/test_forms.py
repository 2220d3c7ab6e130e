"""Schemas, regular expressions and choices: accepted, rejected, refused."""

from __future__ import annotations

import json

import pytest

from zigllm_cli.errors import GenerationError, InputError, UsageError
from zigllm_cli.grammar import (
    Constraint,
    from_choices,
    from_json_object,
    from_json_schema,
    from_regex,
    tokens_of,
)
from zigllm_cli.sampling import Sampling, chain_for
from zigllm_cli.tokenizers import Tokenizer

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        "next": {"$ref": "#"},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_json_schema(accepts) -> None:
    grammar = from_json_schema(json.dumps(PERSON))
    good = [
        '{"name": "Anna", "age": 31}',
        '{"name": "A", "age": 150, "tags": ["a", "b"], "next": {"name": "B", "age": 0}}',
    ]
    bad = [
        '{"name": "Anna"}',
        '{"name": "", "age": 1}',
        '{"name": "A", "age": 151}',
        '{"name": "A", "age": 1.5}',
        '{"name": "A", "age": 1, "tags": ["c"]}',
        '{"name": "A", "age": 1, "x": 1}',
        "[]",
    ]
    assert [accepts(grammar, text) for text in good] == [True] * len(good)
    assert [accepts(grammar, text) for text in bad] == [False] * len(bad)


def test_json_object(accepts) -> None:
    grammar = from_json_object()
    assert accepts(grammar, '{"a": [1, -2.5e3, true, null], "b": {"c": "\\n é"}}')
    assert accepts(grammar, "{}")
    assert not accepts(grammar, "[1]")
    assert not accepts(grammar, '{"a": 01}')
    assert not accepts(grammar, '{"a": 1')


def test_regex(accepts) -> None:
    grammar = from_regex(r"\d{3}-[a-f]+|x?")
    assert [accepts(grammar, text) for text in ("123-abc", "x", "")] == [True] * 3
    assert [accepts(grammar, text) for text in ("12-a", "123-", "xx")] == [False] * 3


def test_choices(accepts) -> None:
    grammar = from_choices(["yes", "no", "yes, but", 'a "b"\n'])
    assert all(accepts(grammar, text) for text in ("yes", "no", "yes, but", 'a "b"\n'))
    assert not any(accepts(grammar, text) for text in ("", "yes,", "noo", "y"))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: from_json_schema("{"), InputError, "the JSON schema is not JSON"),
        (lambda: from_json_schema("3"), InputError, "int, but must be an object"),
        (lambda: from_json_schema('{"type": "nothing"}'), InputError, "cannot be used"),
        (lambda: from_json_schema('{"$ref": "#/$defs/x"}'), InputError, "cannot be used"),
        (lambda: from_json_schema("[" * 100_000), InputError, "not JSON"),
        (lambda: from_regex("("), UsageError, "the regular expression '\\('"),
        (lambda: from_choices(["a", ""]), UsageError, "a choice is empty"),
    ],
)
def test_what_is_refused(build, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def test_a_dead_end_is_a_sentence(tokenizer: Tokenizer) -> None:
    import numpy as np

    constraint = Constraint(tokens_of(tokenizer), from_choices(["x"]))
    xs = {t: -float("inf") for t in range(len(tokenizer)) if b"x" in tokenizer.piece(t)}
    chain = chain_for(tokenizer, Sampling(logit_bias=xs), constraint=constraint)
    with pytest.raises(GenerationError, match="every candidate is excluded"):
        chain.sample(np.zeros(len(tokenizer), np.float32), [1])


def test_a_whole_text_is_over(tokenizer: Tokenizer) -> None:
    import numpy as np

    constraint = Constraint(tokens_of(tokenizer), from_choices(["no"]))
    chain = chain_for(tokenizer, Sampling(seed=1), constraint=constraint)
    text = b""
    while not chain.is_over:
        token = chain.sample(np.zeros(len(tokenizer), np.float32), [1])
        text += tokenizer.piece(token)
    assert text == b"no"
