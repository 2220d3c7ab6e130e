"""Settings from options, presets, tables and files: who wins, and what is refused."""

from __future__ import annotations

from math import inf

import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.commands._sampling import SamplingOptions, parse_biases
from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.sampling import PRESETS, Sampling, chain_for, settle
from zigllm_cli.sampling.binding import biases
from zigllm_cli.sampling.breakers import sequence_breakers

FILE = {
    "general.sampling.temp": 0.6,
    "general.sampling.top_k": 20,
    "general.sampling.top_p": 0.9,
    "general.sampling.penalty_repeat": 1.2,
    "general.sampling.sequence": "top_k;temp",
    "general.name": "x",
}


def test_who_wins() -> None:
    assert settle({}) == Sampling()
    from_file = settle({}, metadata=FILE)
    assert (from_file.temperature, from_file.top_k, from_file.repeat_penalty) == (0.6, 20, 1.2)
    assert from_file.order == ("top_k", "temperature")
    assert settle({}, metadata=FILE, table={"top_k": 5}).top_k == 5
    focused = settle({}, metadata=FILE, table={"top_k": 5}, preset_name="focused")
    assert (focused.top_k, focused.temperature, focused.repeat_penalty) == (20, 0.4, 1.2)
    said = {"top_k": 7, "temperature": None, "seed": 3}
    chosen = settle(said, metadata=FILE, table={"top_k": 5}, preset_name="focused")
    assert (chosen.top_k, chosen.temperature, chosen.seed) == (7, 0.4, 3)


def test_mirostat_of_a_file() -> None:
    keys = {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.2}
    metadata = {f"general.sampling.{key}": value for key, value in keys.items()}
    settings = settle({}, metadata=metadata)
    assert (settings.mirostat, settings.mirostat_ent, settings.mirostat_lr) == (2, 3.0, 0.2)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_settings(name: str) -> None:
    settings = settle({}, preset_name=name)
    assert (settings.temperature == 0) == (name == "deterministic")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: settle({}, preset_name="wild"), UsageError, "preset 'wild' is unknown; known are"),
        (lambda: settle({}, table={"topk": 1}), UsageError, "setting 'topk' is unknown"),
        (lambda: settle({}, table={"top_k": "9"}), UsageError, "top_k is '9', but must be a whole"),
        (lambda: settle({}, table={"top_k": True}), UsageError, "top_k is True"),
        (lambda: settle({"top_p": 1.5}), UsageError, "top-p is 1.5"),
        (
            lambda: settle({}, metadata={"general.sampling.temp": "hot"}),
            InputError,
            "general.sampling.temp of the file: temperature is 'hot', but must be a number",
        ),
        (
            lambda: settle({}, metadata={"general.sampling.top_p": 3.0}),
            InputError,
            "of the file: top-p is 3",
        ),
        (
            lambda: settle({}, metadata={"general.sampling.sequence": "best"}),
            InputError,
            "'best' is unknown",
        ),
        (
            lambda: settle({}, metadata={"general.sampling.sequence": 3}),
            InputError,
            "samplers is 3",
        ),
        (lambda: Sampling(mirostat=3), UsageError, "mirostat is 3"),
        (lambda: Sampling(min_tokens=-1), UsageError, "min-tokens is -1"),
        (lambda: Sampling(logit_bias={1: inf}), UsageError, "the bias of 1 is inf"),
        (lambda: Sampling(dry_sequence_breakers=("",)), UsageError, "breaker is empty"),
    ],
)
def test_what_is_refused(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_options() -> None:
    options = SamplingOptions(
        temperature=0.5,
        samplers="top_k;temp",
        seed=-1,
        dry_sequence_breakers=["none"],
        logit_bias=["5+1.5", " a=-inf"],
    )
    settings = options.settle(FILE)
    assert settings.temperature == 0.5
    assert settings.top_k == 20
    assert settings.seed is None
    assert settings.order == ("top_k", "temperature")
    assert settings.dry_sequence_breakers == ()
    assert settings.logit_bias == {5: 1.5, " a": -inf}
    assert SamplingOptions().settle({}) == Sampling()


def test_biases_in_words() -> None:
    words = ["15043+1", "7-inf", "7-.5", " hello=-5", "a=b=2", "3=1"]
    expected = {15043: 1.0, 7: -0.5, " hello": -5.0, "a=b": 2.0, "3": 1.0}
    assert parse_biases(words) == expected
    for wrong in ("", "5", "+1", "x", "=3", "a=", "a=nan", "5+inf+", "a=inf"):
        with pytest.raises(UsageError, match="neither ID"):
            parse_biases([wrong])


def test_biases_of_a_model() -> None:
    tokenizer = zigllm_cli.load(RANDOM).tokenizer
    ids = tokenizer.encode("hear", add_special=False)
    found = biases(tokenizer, Sampling(logit_bias={"hear": 2.0, 9: -1.0}, ignore_eos=True))
    assert all(found[token] == 2.0 for token in ids)
    assert found[9] == -1.0
    assert all(found[end] == -inf for end in tokenizer.vocabulary.end_ids)
    with pytest.raises(UsageError, match="no token 384"):
        biases(tokenizer, Sampling(logit_bias={384: 1.0}))


def test_min_tokens_count_from_the_prompt() -> None:
    import numpy as np

    tokenizer = zigllm_cli.load(RANDOM).tokenizer
    (end,) = tokenizer.vocabulary.end_ids
    logits = np.zeros(len(tokenizer), np.float32)
    logits[end] = 50
    chain = chain_for(tokenizer, Sampling(temperature=0, min_tokens=2), prompt=3)
    assert [chain.sample(logits, [1] * n) == end for n in (3, 4, 5, 6)] == [
        False,
        False,
        True,
        True,
    ]


def test_breakers_inside_and_across_tokens() -> None:
    tokenizer = zigllm_cli.load(RANDOM).tokenizer
    found = sequence_breakers(["ea"], tokenizer)
    pieces = {token: tokenizer.piece(token) for token in found}
    for token, piece in pieces.items():
        assert (b"ea" in piece) == (found[token] == [()])
        assert b"ea" in piece or piece.endswith(b"e")
    assert any(b"ea" not in piece for piece in pieces.values())
