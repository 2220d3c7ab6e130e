"""A trained model writes what it must: 200 seeds for each form, and every whole text fits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import zigllm_cli
from zigllm_cli.engine.batching import Batching
from zigllm_cli.engine.generation import Continuation
from zigllm_cli.grammar import Constraint, from_gbnf, from_json_schema, from_regex, tokens_of
from zigllm_cli.grammar.forms import Grammar
from zigllm_cli.model import Model
from zigllm_cli.sampling import Sampling, chain_for

SEEDS = 200

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "pets": {"type": "array", "items": {"enum": ["cat", "dog"]}, "maxItems": 3},
    },
    "required": ["name", "age", "pets"],
    "additionalProperties": False,
}

PATTERN = r"(Once|One day), [a-z ]{3,20}( and [a-z]{2,8})?\."

WHO, PLAIN = "(He|She|[A-Z][a-z]{2,6})", "(the|a) [a-z]{3,8}"

STORY = r"""
root  ::= who " " verb " " thing ("." | "!")
who   ::= "He" | "She" | [A-Z] [a-z]{2,6}
verb  ::= "saw" | "wanted" | "liked"
thing ::= ("the" | "a") " " [a-z]{3,8} (" and " thing)? | "(" thing ")"
"""


@pytest.fixture(scope="module")
def model(kit: Path) -> Model:
    return zigllm_cli.load(kit / "real/stories260K-f32.gguf")


def fits_schema(text: str) -> bool:
    value = json.loads(text)
    return (
        list(value) == ["name", "age", "pets"]
        and isinstance(value["name"], str)
        and len(value["name"]) <= 12
        and type(value["age"]) is int
        and 0 <= value["age"] <= 120
        and len(value["pets"]) <= 3
        and set(value["pets"]) <= {"cat", "dog"}
    )


def fits_story(text: str) -> bool:
    """Without recursion: things in parentheses are replaced from the inside."""
    thing = f"{PLAIN}( and {PLAIN})*"
    while re.search(rf"\({thing}\)", text):
        text = re.sub(rf"\({thing}\)", "the thing", text)
    return bool(re.fullmatch(rf"{WHO} (saw|wanted|liked) {thing}[.!]", text))


def whole_texts(model: Model, grammar: Grammar) -> list[str]:
    """What the model writes with each seed, without those that were cut by the limit."""
    tokens, ids = tokens_of(model.tokenizer), model.prompt_ids("One day")

    def make(seed: int) -> Continuation:
        sampling = Sampling(temperature=1.1, seed=seed)
        chain = chain_for(model.tokenizer, sampling, constraint=Constraint(tokens, grammar))
        return Continuation(model.tokenizer, chain, ids, max_tokens=110)

    batching = Batching(model.runner(128, sequences=15))
    texts = list(batching.run(make(seed) for seed in range(SEEDS)))
    return [text.text for text in texts if text.finish_reason == "end"]


@pytest.mark.parametrize(
    ("form", "fits"),
    [
        (lambda _: from_json_schema(json.dumps(SCHEMA)), fits_schema),
        (lambda _: from_regex(PATTERN), lambda text: re.fullmatch(PATTERN, text)),
        (lambda model: from_gbnf(STORY, model.tokenizer), fits_story),
    ],
    ids=["schema", "regex", "grammar"],
)
def test_every_whole_text_fits(
    model: Model, form: Callable[[Model], Grammar], fits: Callable[[str], bool]
) -> None:
    texts = whole_texts(model, form(model))
    assert len(texts) > SEEDS / 2
    assert len(set(texts)) > SEEDS / 4
    for text in texts:
        assert fits(text), text
