"""The chain: order, seeds, draws, dead ends, speed-independent properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zigllm_cli.errors import GenerationError, UsageError
from zigllm_cli.sampling import DEFAULT_ORDER, SAMPLERS, Candidates, Sampling, excluding

FINITE = st.floats(-30, 30, width=32)
LOGITS = arrays(np.float32, st.integers(1, 400), elements=FINITE | st.just(-np.inf)).filter(
    lambda logits: np.isfinite(logits).any()
)
SETTINGS = st.builds(
    Sampling,
    temperature=st.floats(0, 3),
    top_k=st.integers(0, 50),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
    repeat_penalty=st.floats(0.5, 2),
    seed=st.integers(0, 2**32),
)


def random_logits(size: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(size) * 3).astype(np.float32)


@given(LOGITS, SETTINGS, st.permutations(DEFAULT_ORDER), st.lists(st.integers(0, 400), max_size=9))
def test_something_is_always_left(
    logits: np.ndarray, settings: Sampling, order: list[str], tokens: list[int]
) -> None:
    chain = settings.chain(order)
    given_logits = logits.copy()
    candidates = chain.filter(logits, tokens)
    assert len(candidates) >= 1
    assert len(set(candidates.ids.tolist())) == len(candidates)
    assert candidates.probabilities().sum() == pytest.approx(1)
    assert logits[chain.sample(logits, tokens)] > -np.inf
    np.testing.assert_array_equal(logits, given_logits)


@given(LOGITS, st.integers(1, 450))
def test_top_is_a_stable_sort(logits: np.ndarray, count: int) -> None:
    order = np.argsort(-logits, kind="stable")
    expected = [i for i in order[:count].tolist() if logits[i] > -np.inf]
    assert Candidates.of(logits).top(count).ids.tolist() == expected


@pytest.mark.parametrize("size", [5_000, 150_001])
@pytest.mark.parametrize("count", [1, 40, 700])
def test_top_of_many(size: int, count: int) -> None:
    logits = np.round(random_logits(size), 2)  # with ties
    order = np.argsort(-logits, kind="stable")[:count]
    assert Candidates.of(logits).top(count).ids.tolist() == order.tolist()


def test_the_default_chain_in_its_order() -> None:
    steps = Sampling(repeat_penalty=1.1).chain().steps(random_logits(1000), [1, 2])
    sizes = {name: len(candidates) for name, candidates in steps}
    assert list(sizes) == ["model", *DEFAULT_ORDER]
    assert sizes["model"] == sizes["penalties"] == 1000
    assert sizes["top_k"] == 40 >= sizes["top_p"] >= sizes["min_p"] == sizes["temperature"]
    assert set(DEFAULT_ORDER) == set(SAMPLERS)


def test_order_can_be_chosen() -> None:
    chain = Sampling().chain(["temperature", "top_k"])
    assert [sampler.name for sampler in chain.samplers] == ["temperature", "top_k"]
    with pytest.raises(UsageError, match="'bottom_k' is unknown; known are penalties, top_k"):
        Sampling().chain(["bottom_k"])


def test_a_seed_makes_a_run_repeatable() -> None:
    rows = [random_logits(300, seed) for seed in range(50)]

    def run(seed: int | None) -> list[int]:
        chain = Sampling(seed=seed).chain()
        return [chain.sample(row, []) for row in rows]

    assert run(7) == run(7) != run(8)
    assert run(None) != run(None)
    with pytest.raises(UsageError, match="seed is -1"):
        Sampling(seed=-1)


def test_greedy_takes_the_best_whatever_else_is_set() -> None:
    logits = random_logits(2000)
    chain = Sampling(temperature=0, top_p=0.5, min_p=0.3).chain()
    assert [chain.sample(logits, []) for _ in range(5)] == [int(logits.argmax())] * 5


def test_draws_follow_the_distribution() -> None:
    """Chi-square over 20,000 draws; the bound is passed by chance once in 100,000 runs."""
    logits = random_logits(50)
    chain = Sampling(top_k=12, top_p=1, min_p=0, seed=3).chain()
    candidates = chain.filter(logits, [])
    draws = np.array([chain.sample(logits, []) for _ in range(20_000)])
    counts = np.array([(draws == token).sum() for token in candidates.ids])
    expected = candidates.probabilities() * len(draws)
    assert counts.sum() == len(draws)
    assert ((counts - expected) ** 2 / expected).sum() < 44  # 11 degrees of freedom


def test_excluded_tokens_never_come() -> None:
    logits = random_logits(20)
    chain = Sampling(temperature=5, seed=0).chain(bias=excluding(range(19)))
    assert {chain.sample(logits, []) for _ in range(100)} == {19}


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([-np.inf, -np.inf], "every candidate is excluded"),
        ([1.0, np.nan], "not numbers"),
        ([1.0, np.inf], "not numbers"),
    ],
)
def test_dead_ends(logits: list[float], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        Sampling().chain().sample(np.array(logits, np.float32), [])
