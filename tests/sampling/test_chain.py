"""The chain: order, seeds, draws, dead ends, speed-independent properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zigllm_cli.errors import GenerationError, UsageError
from zigllm_cli.sampling import DEFAULT_ORDER, Candidates, Chain, Choice, Sampling, excluding
from zigllm_cli.sampling.bias import LogitBias

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
    presence_penalty=st.floats(-2, 2),
    frequency_penalty=st.floats(-2, 2),
    dry_multiplier=st.floats(0, 5),
    dry_allowed_length=st.integers(0, 4),
    top_n_sigma=st.floats(-1, 3),
    tail_free=st.floats(0, 1),
    typical=st.floats(0, 1),
    xtc_probability=st.floats(0, 1),
    xtc_threshold=st.floats(0, 1),
    dynatemp_range=st.floats(0, 2),
    adaptive_target=st.floats(-1, 1),
    mirostat=st.sampled_from([0, 0, 0, 1, 2]),
    mirostat_ent=st.floats(0, 10),
    samplers=st.none() | st.permutations(DEFAULT_ORDER).map(tuple),
    seed=st.integers(0, 2**32),
)


def random_logits(size: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(size) * 3).astype(np.float32)


@settings(max_examples=300, deadline=None)
@given(LOGITS, SETTINGS, st.lists(st.integers(0, 400), max_size=9))
def test_something_is_always_left(
    logits: np.ndarray, sampling: Sampling, tokens: list[int]
) -> None:
    chain = sampling.chain()
    given_logits = logits.copy()
    for _, candidates in chain.steps(logits, tokens):
        assert len(candidates) >= 1
        assert len(set(candidates.ids.tolist())) == len(candidates)
        assert candidates.probabilities().sum() == pytest.approx(1)
        assert 0 <= candidates.entropy() <= np.log(len(candidates)) + 1e-6
        if candidates.is_sorted:
            assert (np.diff(candidates.logits) <= 0).all()
    for _ in range(3):
        token = chain.sample(logits, tokens)
        assert logits[token] > -np.inf
        tokens = [*tokens, token]
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
    assert list(sizes) == ["model", "penalties", "top_k", "top_p", "min_p", "temperature"]
    assert sizes["model"] == sizes["penalties"] == 1000
    assert sizes["top_k"] == 40 >= sizes["top_p"] >= sizes["min_p"] == sizes["temperature"]


def test_every_sampler_has_its_place() -> None:
    everything = Sampling(
        repeat_penalty=1.1,
        dry_multiplier=0.8,
        top_n_sigma=3,
        tail_free=0.99,
        typical=0.99,
        xtc_probability=0.5,
        adaptive_target=0.5,
    )
    assert [sampler.name for sampler in everything.chain().samplers] == list(DEFAULT_ORDER)


def test_order_can_be_chosen() -> None:
    chain = Sampling(samplers=("temp", "top-k", "TopP", "typical")).chain()
    assert [sampler.name for sampler in chain.samplers] == ["temperature", "top_k", "top_p"]
    with pytest.raises(UsageError, match="'bottom_k' is unknown; known are penalties, dry, top_n"):
        Sampling(samplers=("bottom_k",))
    names = [sampler.name for sampler in Sampling(mirostat=2).chain().samplers]
    assert names == ["temperature", "mirostat_v2"]
    assert Sampling(samplers=()).chain().samplers == ()


def test_a_seed_makes_a_run_repeatable() -> None:
    rows = [random_logits(300, seed) for seed in range(50)]

    def run(seed: int | None) -> list[int]:
        chain = Sampling(seed=seed).chain()
        return [chain.sample(row, range(place)) for place, row in enumerate(rows)]

    assert run(7) == run(7) != run(8)
    assert run(None) != run(None)
    for seed in (-1, 2**64):
        with pytest.raises(UsageError, match=f"seed is {seed}"):
            Sampling(seed=seed)


def test_greedy_takes_the_best_whatever_else_is_set() -> None:
    logits = random_logits(2000)
    chain = Sampling(temperature=0, top_p=0.5, min_p=0.3).chain()
    assert [chain.sample(logits, []) for _ in range(5)] == [int(logits.argmax())] * 5


def chi_square(chain: Chain, logits: np.ndarray, expected: dict[int, float], draws: int) -> float:
    """Sum of (observed - expected)^2 / expected over so many draws, each at a place of its own."""
    places = [range(place) for place in range(draws)]
    ids, counts = np.unique([chain.sample(logits, place) for place in places], return_counts=True)
    assert set(ids.tolist()) <= set(expected)
    wanted = np.array([expected[token] * draws for token in ids.tolist()])
    missing = draws - wanted.sum()  # those never drawn
    return float(((counts - wanted) ** 2 / wanted).sum() + missing)


def test_draws_follow_the_distribution() -> None:
    """Over 100,000 draws; the bound is passed by chance once in a million runs."""
    logits = random_logits(14)
    chain = Sampling(samplers=("top_k",), top_k=12, seed=3).chain()
    weights = np.exp(np.sort(logits.astype(np.float64))[::-1][:12])
    expected = dict(zip(np.argsort(-logits)[:12].tolist(), weights / weights.sum(), strict=True))
    assert chi_square(chain, logits, expected, 100_000) < 50  # 11 degrees of freedom


def test_draws_do_not_depend_on_how_a_text_came_about() -> None:
    logits = random_logits(300)
    one, other = (Sampling(seed=4, temperature=2).chain() for _ in range(2))
    texts = [[1] * n for n in range(20)]
    forwards = [one.sample(logits, text) for text in texts]
    backwards = [other.sample(logits, text) for text in reversed(texts)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) > 2


def test_watchers_see_every_choice() -> None:
    seen: list[Choice] = []
    chain = Sampling(seed=1).chain()
    chain.watchers.append(seen.append)
    token = chain.sample(random_logits(100), [3, 4])
    (choice,) = seen
    assert (choice.token, choice.tokens) == (token, [3, 4])
    names = [name for name, _ in choice.stages]
    assert names == ["model", "top_k", "top_p", "min_p", "temperature"]
    assert token in choice.stages[-1][1].ids


def test_excluded_tokens_never_come() -> None:
    logits = random_logits(20)
    chain = Sampling(temperature=5, seed=0).chain(before=[LogitBias(excluding(range(19)))])
    assert {chain.sample(logits, [0] * n) for n in range(100)} == {19}


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
