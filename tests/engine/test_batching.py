"""Continuous batching: the texts of single runs, in order, and few steps."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.engine.batching import Batching
from zigllm_cli.engine.generation import Continuation, Generation
from zigllm_cli.engine.session import Session
from zigllm_cli.errors import UsageError
from zigllm_cli.sampling import Sampling

MODEL = zigllm_cli.load(RANDOM)

PROMPTS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 383), min_size=1, max_size=12),
        st.integers(0, 15) | st.none(),
        st.integers(0, 9),
    ),
    max_size=9,
)


def make(prompt: list[int], limit: int | None, seed: int) -> Continuation:
    chain = Sampling(seed=seed, temperature=1.5).chain()
    return Continuation(MODEL.tokenizer, chain, prompt, max_tokens=limit, stop=("th", "e "))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PROMPTS, st.integers(1, 4), st.sampled_from([None, 0, 2]))
def test_as_single_runs(fake, prompts: list, parallel: int, keep: int | None) -> None:
    if keep is not None:  # without a limit a shifting context never ends
        prompts = [
            (prompt, 40 if limit is None else limit, seed) for prompt, limit, seed in prompts
        ]
    batching = Batching(fake(context=16, sequences=parallel), keep=keep)
    together = list(batching.run(make(*prompt) for prompt in prompts))
    assert len(together) == len(prompts)
    for prompt, result in zip(prompts, together, strict=True):
        single = make(*prompt)
        list(Generation(Session(fake(context=16)), single, keep=keep))
        assert (result.text, result.ids) == (single.text, single.ids)
        assert result.finish_reason == single.finish_reason


def test_slots_are_kept_busy(fake) -> None:
    """Six texts of 10 tokens on three slots take two rounds of 9 steps, prompts apart."""
    runner = fake(sequences=3)
    chains = [Sampling(seed=seed).chain() for seed in range(6)]
    texts = [
        Continuation(MODEL.tokenizer, chain, [5 + i] * 4, max_tokens=10)  # no prompt twice
        for i, chain in enumerate(chains)
    ]
    batching = Batching(runner)
    assert list(batching.run(texts)) == texts
    if all(len(text.ids) == 10 for text in texts):
        assert runner.steps == ([4] * 3 + [3] * 9) * 2
    assert batching.timings.prefill_tokens == 24
    assert batching.timings.decode_tokens == sum(len(text.ids) - 1 for text in texts)


def test_the_same_prompt_is_evaluated_once(fake) -> None:
    runner = fake(sequences=3)
    chains = [Sampling(seed=seed).chain() for seed in range(3)]
    texts = [Continuation(MODEL.tokenizer, chain, [5] * 4, max_tokens=2) for chain in chains]
    list(Batching(runner).run(texts))
    assert runner.steps[0] == 4
    assert sum(runner.steps) == 4 + sum(len(text.ids) - 1 for text in texts)


def test_results_come_as_soon_as_their_turn_is_there(fake) -> None:
    def texts():
        for limit in (1, 3, 30):
            chain = Sampling(seed=1).chain()
            yield Continuation(MODEL.tokenizer, chain, [5 + limit], max_tokens=limit)
        raise AssertionError("asked for more prompts than there are slots")

    runner = fake(sequences=3)
    results = Batching(runner).run(texts())
    assert len(next(results).ids) == 1
    assert runner.steps == [1, 1, 1]


def test_a_long_prompt_is_refused(fake) -> None:
    text = Continuation(MODEL.tokenizer, Sampling().chain(), [5] * 9)
    with pytest.raises(UsageError, match="9 tokens, but the context holds 8"):
        list(Batching(fake(context=8)).run([text]))
