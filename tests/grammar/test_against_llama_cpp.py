"""The same grammar allows the same tokens in llama.cpp, step by step."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.errors import InputError
from zigllm_cli.grammar import Constraint, from_gbnf, tokens_of
from zigllm_cli.sampling import Candidates, State

pytestmark = pytest.mark.oracle

ANY = Candidates.of(np.zeros(1, np.float32))

LOOSE = {0, *range(0xC0, 0xC2), 0xE0, 0xED, *range(0xF0, 0x100)}
"""Bytes by which llama.cpp lets in what is not UTF-8 (overlong forms, surrogates), and zero."""


@pytest.fixture(scope="module")
def theirs(kit: Path) -> Callable[[str], ctypes.c_void_p | None]:
    import llama_cpp as api

    parameters = api.llama_model_default_params()
    parameters.vocab_only = True
    model = api.llama_model_load_from_file(
        str(kit / "real/stories260K-f32.gguf").encode(), parameters
    )
    vocab = api.llama_model_get_vocab(model)
    return lambda text: api.llama_sampler_init_grammar(vocab, text.encode(), b"root")


def allowed_by(sampler: ctypes.c_void_p, size: int) -> set[int]:
    import llama_cpp as api

    data = (api.llama_token_data * size)()
    for i in range(size):
        data[i].id = i
    row = api.llama_token_data_array(data, size, -1, False)
    api.llama_sampler_apply(sampler, ctypes.byref(row))
    return {row.data[i].id for i in range(row.size) if row.data[i].logit > -1}


def expression(rng: random.Random, depth: int, names: list[str]) -> str:
    kind = rng.random()
    if depth == 0 or kind < 0.35:
        words = ['"a"', '"ab"', '"b"', '"th"', '"the"', "[a-c]", "[^a]", ".", "[ab]", '"\\n"']
        return rng.choice([*words, "[a-z ]"])
    if kind < 0.5:
        parts = (expression(rng, depth - 1, names) for _ in range(rng.randint(1, 3)))
        return f"({' | '.join(parts)})"
    if kind < 0.7:
        return " ".join(expression(rng, depth - 1, names) for _ in range(rng.randint(2, 3)))
    if kind < 0.85:
        counts = rng.choice(["*", "+", "?", "{2}", "{1,3}", "{2,}"])
        return f"({expression(rng, depth - 1, names)}){counts}"
    return rng.choice(names)


def grammar(rng: random.Random) -> str:
    names = ["root", "x", "y"][: rng.randint(1, 3)]
    rules = []
    for name in names:
        body = expression(rng, 3, names[1:] or ['"c"'])
        nested = f'"(" {name} ")" | ' if name != "root" and rng.random() < 0.4 else ""
        rules.append(f"{name} ::= {nested}{body}")
    return "\n".join(rules)


def test_same_masks(kit: Path, theirs) -> None:
    """Ours may be less where one text alone can follow: then one way to spell it is chosen."""
    import llama_cpp as api

    tokenizer = zigllm_cli.load(kit / "real/stories260K-f32.gguf").tokenizer
    size, vocabulary = len(tokenizer), tokens_of(tokenizer)
    pieces = [tokenizer.piece(token, render_special=False) for token in range(size)]
    ends = tokenizer.vocabulary.end_ids
    comparable = {t for t, piece in enumerate(pieces) if piece and not LOOSE & set(piece)} | ends
    zeros = Candidates.of(np.zeros(size, np.float32))
    state = State([], np.random.default_rng(0), size)
    steps = 0
    for seed in range(150):
        rng = random.Random(seed)
        text = grammar(rng)
        sampler = theirs(text)
        try:
            rules = from_gbnf(text, tokenizer)
        except InputError:
            assert not sampler, f"llama.cpp reads {text!r}"
            continue
        assert sampler, f"llama.cpp does not read {text!r}"
        constraint = Constraint(vocabulary, rules)
        for _ in range(10):
            expected = allowed_by(sampler, size) & comparable
            if not expected:
                break
            ours = constraint.apply(zeros, state)
            mine = set(np.flatnonzero(ours.logits == 0).tolist()) & comparable
            if constraint.forced:
                assert mine <= expected, text
                assert mine, text
            else:
                assert mine == expected, text
            steps += 1
            following = sorted(expected - ends)
            if not following:
                break
            token = rng.choice(following)
            api.llama_sampler_accept(sampler, token)
            constraint.accept(token, ANY)
        api.llama_sampler_free(sampler)
    assert steps > 300
