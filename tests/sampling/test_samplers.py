"""Each sampler on vectors whose answer is plain to see, and its legal range."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from zigllm_cli.errors import UsageError
from zigllm_cli.sampling import Candidates, State
from zigllm_cli.sampling.bias import LogitBias
from zigllm_cli.sampling.penalties import Penalties
from zigllm_cli.sampling.temperature import Temperature
from zigllm_cli.sampling.truncation import MinP, TopK, TopP

P = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))
"""Ids 0..3 with these probabilities; sorted they are 1, 3, 2, 0."""


def state(*tokens: int) -> State:
    return State(tokens, np.random.default_rng(0))


def left(sampler, logits=P, *tokens: int) -> list[int]:
    return sampler.apply(Candidates.of(logits), state(*tokens)).ids.tolist()


@pytest.mark.parametrize(
    ("k", "ids"), [(1, [1]), (2, [1, 3]), (4, [1, 3, 2, 0]), (9, [1, 3, 2, 0])]
)
def test_top_k(k: int, ids: list[int]) -> None:
    assert left(TopK(k)) == ids


@pytest.mark.parametrize(
    ("p", "ids"), [(0, [1]), (0.39, [1]), (0.41, [1, 3]), (0.71, [1, 3, 2]), (0.95, [1, 3, 2, 0])]
)
def test_top_p_keeps_the_one_that_reaches_p(p: float, ids: list[int]) -> None:
    assert left(TopP(p)) == ids


@pytest.mark.parametrize(
    ("p", "ids"), [(0.2, [0, 1, 2, 3]), (0.26, [1, 2, 3]), (0.6, [1, 3]), (1, [1])]
)
def test_min_p_is_relative_to_the_most_likely(p: float, ids: list[int]) -> None:
    assert left(MinP(p)) == ids


def test_top_p_of_a_large_flat_vocabulary() -> None:
    flat = np.zeros(10_000, np.float32)
    assert left(TopP(0.5), flat) == list(range(5000))
    flat[7777] = 1
    assert left(TopP(0.0001), flat) == [7777]


def test_temperature_scales_and_sorts_nothing() -> None:
    scaled = Temperature(0.5).apply(Candidates.of(P), state())
    assert scaled.ids.tolist() == [0, 1, 2, 3]
    weights = np.array([0.01, 0.16, 0.04, 0.09])
    np.testing.assert_allclose(scaled.probabilities(), weights / weights.sum(), rtol=1e-5)


@pytest.mark.parametrize("t", [0, -1, -0.0])
def test_no_temperature_leaves_the_first_of_the_best(t: float) -> None:
    assert left(Temperature(t)) == [1]
    assert left(Temperature(t), np.array([1, 5, 5, 2], np.float32)) == [1]
    best = TopK(3).apply(Candidates.of(P), state())
    assert Temperature(t).apply(best, state()).ids.tolist() == [1]


def test_penalties() -> None:
    logits = np.array([2.0, -2.0, 0.0, 4.0, 1.0], np.float32)
    window = (3, 0, 0, 1, 0)
    repeated = Penalties(repeat=2).apply(Candidates.of(logits), state(*window))
    assert repeated.logits.tolist() == [1.0, -4.0, 0.0, 2.0, 1.0]
    counted = Penalties(frequency=0.5, presence=0.25).apply(Candidates.of(logits), state(*window))
    assert counted.logits.tolist() == [2 - 1.75, -2 - 0.75, 0.0, 4 - 0.75, 1.0]
    last = Penalties(repeat=2, last_n=2).apply(Candidates.of(logits), state(*window))
    assert last.logits.tolist() == [1.0, -4.0, 0.0, 4.0, 1.0]
    assert logits.tolist() == [2.0, -2.0, 0.0, 4.0, 1.0]


def test_penalties_behind_a_filter_and_for_unknown_ids() -> None:
    best = TopK(2).apply(Candidates.of(np.array([1, 8, 4, 2], np.float32)), state())
    after = Penalties(repeat=4).apply(best, state(1, 0, 99))
    assert dict(zip(after.ids.tolist(), after.logits.tolist(), strict=True)) == {1: 2.0, 2: 4.0}
    assert TopK(2).apply(after, state()).ids.tolist() == [2, 1]
    assert Penalties(repeat=2).apply(Candidates.of(P), state(99)).logits.tolist() == P.tolist()
    assert Penalties(repeat=2).apply(Candidates.of(P), state()).logits.tolist() == P.tolist()


def test_bias() -> None:
    biased = LogitBias({2: -np.inf, 0: log(9), 77: 1.0}).apply(Candidates.of(P), state())
    np.testing.assert_allclose(np.exp(biased.logits), [0.9, 0.4, 0.0, 0.3], rtol=1e-5)
    assert biased.top(4).ids.tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("build", "value", "legal"),
    [
        (TopK, -1, "0 or more"),
        (TopP, 1.01, "from 0 to 1"),
        (TopP, float("nan"), "from 0 to 1"),
        (MinP, -0.1, "from 0 to 1"),
        (Temperature, float("nan"), "a number"),
        (Temperature, float("inf"), "a number"),
        (lambda v: Penalties(repeat=v), 0, "1e-06 or more"),
        (lambda v: Penalties(last_n=v), -1, "0 or more"),
        (lambda v: Penalties(presence=v), float("nan"), "a number"),
    ],
)
def test_legal_ranges(build, value: float, legal: str) -> None:
    with pytest.raises(UsageError, match=legal) as caught:
        build(value)
    assert f"{value:g}" in str(caught.value)


@pytest.mark.parametrize(
    "sampler", [TopK(0), TopP(1), MinP(0), Temperature(1), Penalties(), Penalties(2, last_n=0)]
)
def test_neutral_settings_are_idle(sampler) -> None:
    assert sampler.is_idle
