"""Each sampler on vectors whose answer is plain to see, and its legal range."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.errors import UsageError
from zigllm_cli.sampling import Candidates, State
from zigllm_cli.sampling.adaptive_p import AdaptiveP
from zigllm_cli.sampling.bias import LogitBias, MinTokens
from zigllm_cli.sampling.dry import Dry, common_prefixes
from zigllm_cli.sampling.mirostat import Mirostat1, Mirostat2
from zigllm_cli.sampling.penalties import Penalties
from zigllm_cli.sampling.tail_free import TailFree
from zigllm_cli.sampling.temperature import Temperature
from zigllm_cli.sampling.top_n_sigma import TopNSigma
from zigllm_cli.sampling.truncation import MinP, TopK, TopP
from zigllm_cli.sampling.typical import Typical
from zigllm_cli.sampling.xtc import Xtc

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
        (Typical, 1.5, "from 0 to 1"),
        (TailFree, -0.5, "from 0 to 1"),
        (TopNSigma, float("nan"), "a number"),
        (Xtc, 2, "from 0 to 1"),
        (lambda v: Xtc(0.5, v), -1, "from 0 to 1"),
        (lambda v: Temperature(1, v), -1, "0 or more"),
        (Dry, -1, "0 or more"),
        (lambda v: Dry(1, last_n=v), -1, "0 or more"),
        (Mirostat2, -1, "0 or more"),
        (AdaptiveP, 1.5, "from -1 to 1"),
        (lambda v: AdaptiveP(0.5, v), 1, "from 0 to 0.99"),
    ],
)
def test_legal_ranges(build, value: float, legal: str) -> None:
    with pytest.raises(UsageError, match=legal) as caught:
        build(value)
    assert f"{value:g}" in str(caught.value)


@pytest.mark.parametrize(
    "sampler",
    [
        *(TopK(0), TopP(1), MinP(0), Temperature(1), Penalties(), Penalties(2, last_n=0)),
        *(Typical(1), TailFree(1), TopNSigma(-1), Xtc(0), Xtc(1, 0.6), Dry(0), Dry(1, last_n=0)),
        *(AdaptiveP(-1), LogitBias(), MinTokens([], 9), MinTokens([2], 0)),
    ],
)
def test_neutral_settings_are_idle(sampler) -> None:
    assert sampler.is_idle


def probabilities(*values: float) -> np.ndarray:
    return np.log(np.array(values, np.float32))


def test_typical_prefers_the_expected_surprise() -> None:
    """Entropy of .5 .25 .125 .125 is 1.75 bits: 2 bits are nearest, then 1, then 3 and 3."""
    logits = probabilities(0.125, 0.5, 0.25, 0.125)
    assert left(Typical(0.2), logits) == [2]
    assert left(Typical(0.3), logits) == [2, 1]
    assert left(Typical(0.75), logits) == [2, 1, 0]  # the sum has to pass p, not to reach it
    assert left(Typical(0.9), logits) == [2, 1, 0, 3]


def test_tail_free_cuts_where_the_curve_is_flat() -> None:
    """Curvature of .5 .3 .1 .05 .05: |.5-.6+.1|=0, |.3-.2+.05|=.15, |.1-.1+.05|=.05."""
    logits = probabilities(0.05, 0.5, 0.1, 0.3, 0.05)
    assert left(TailFree(0.5), logits) == [1, 3]
    assert left(TailFree(0.7), logits) == [1, 3]
    assert left(TailFree(0.8), logits) == [1, 3, 2]
    assert left(TailFree(0.5), probabilities(0.6, 0.4)) == [0, 1]
    assert left(TailFree(0.1), probabilities(0.25, 0.25, 0.25, 0.25)) == [0, 1, 2, 3]


def test_top_n_sigma_counts_deviations() -> None:
    """Mean 4 and deviation 2; what is excluded already does not count."""
    logits = np.array([2, 6, 2, 6, -np.inf], np.float32)
    logits[0] = 2.0
    assert left(TopNSigma(1.9), logits) == [1, 3]
    assert left(TopNSigma(2.0), logits) == [0, 1, 2, 3]
    scaled = Temperature(0.1).apply(Candidates.of(logits), state())
    assert TopNSigma(1.9).apply(scaled, state()).ids.tolist() == [1, 3]


def test_xtc_leaves_the_least_likely_top_choice() -> None:
    assert left(Xtc(1, 0.19)) == [2, 0]
    assert left(Xtc(1, 0.15)) == [2, 0]
    assert left(Xtc(1, 0.25)) == [3, 2, 0]
    assert left(Xtc(1, 0.45)) == [0, 1, 2, 3]  # there are no two of them
    possible = np.array([-np.inf, 0], np.float32)  # what cannot come is none of them
    assert left(Xtc(1, 0), possible) == [0, 1]
    assert left(Xtc(1, 0.05)) == [0]


def test_xtc_as_often_as_asked() -> None:
    sampler, random = Xtc(0.3, 0.19), np.random.default_rng(5)
    kept = [sampler.apply(Candidates.of(P), State([], random)) for _ in range(10_000)]
    share = sum(len(candidates) == 2 for candidates in kept) / len(kept)
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / 10_000) ** 0.5


def test_dynamic_temperature_between_its_bounds() -> None:
    flat, sure = np.zeros(8, np.float32), np.array([50.0, *[0] * 7], np.float32)
    flat[0] = 1e-4
    warm = Temperature(1, 0.5).apply(Candidates.of(flat), state())
    assert warm.logits[1] - warm.logits[0] == pytest.approx(-1e-4 / 1.5, rel=1e-3)
    cold = Temperature(1, 0.5).apply(Candidates.of(sure), state())
    assert cold.logits[1] - cold.logits[0] == pytest.approx(-100)
    half = probabilities(0.5, 0.5, 1e-30, 1e-30)  # entropy ln 2 of ln 4
    warm = Temperature(1, 1, exponent=2).apply(Candidates.of(half), state())
    assert warm.logits[2] == pytest.approx((half[2] - half[0]) / (2 * 0.5**2), rel=1e-4)
    assert left(Temperature(0.2, 0.5), np.array([900, 0, 0], np.float32)) == [0]


def test_dry_by_hand() -> None:
    """Behind a b c c b c y a b c: c would repeat 3, y 2 and b 1 (the authors' example)."""
    a, b, c, y = 0, 1, 2, 3
    window = [a, b, c, c, b, c, y, a, b, c]
    assert Dry(1, allowed_length=1).repetitions(window) == {c: 3, y: 2, b: 1}
    assert Dry(1, allowed_length=2).repetitions(window) == {c: 3, y: 2}
    penalised = Dry(0.8).apply(Candidates.of(np.zeros(5, np.float32)), state(*window))
    np.testing.assert_allclose(penalised.logits, [0, 0, -0.8 * 1.75, -0.8, 0], rtol=1e-6)
    assert Dry(1, allowed_length=2).repetitions([a, b]) == {}
    assert Dry(1).repetitions([]) == {}


def test_dry_stops_at_breakers() -> None:
    a, b, c, y = 0, 1, 2, 3
    window = [a, b, c, c, b, c, y, a, b, c]
    one = Dry(1, allowed_length=1, breakers={a: [()]})
    assert one.repetitions(window) == {c: 2, y: 2, b: 1}
    two = Dry(1, allowed_length=1, breakers={a: [(b,)], y: [(c,)]})
    assert two.repetitions(window) == {c: 1, b: 1, y: 1}
    assert Dry(1, allowed_length=1, breakers={c: [()]}).repetitions(window) == {}
    zeros = Candidates.of(np.zeros(4, np.float32))
    assert Dry(1, allowed_length=1, breakers={y: [()]}).apply(zeros, state(*window)).logits[y] == 0


def test_dry_is_bounded() -> None:
    penalised = Dry(9.0).apply(Candidates.of(np.zeros(2, np.float32)), state(*[1] * 64))
    assert np.isfinite(penalised.logits).all()
    slow = Dry(1, base=1.0, last_n=500).apply(Candidates.of(P), state(*[1] * 400))
    assert slow.logits[1] == pytest.approx(P[1] - 1)


def naive_prefixes(tokens: list[int]) -> list[int]:
    found = [0] * len(tokens)
    for start in range(1, len(tokens)):
        while start + found[start] < len(tokens) and (
            tokens[found[start]] == tokens[start + found[start]]
        ):
            found[start] += 1
    return found


@given(st.lists(st.integers(0, 2), max_size=60))
def test_common_prefixes(tokens: list[int]) -> None:
    assert common_prefixes(tokens) == naive_prefixes(tokens)


def test_mirostat_2_by_hand() -> None:
    """mu begins at 2 tau = 2.2 bits: .5 (1 bit) and .25 (2 bits) stay; then it moves."""
    sampler = Mirostat2(tau=1.1, eta=0.5)
    logits = probabilities(0.125, 0.5, 0.25, 0.125)
    kept = sampler.apply(Candidates.of(logits), state())
    assert kept.ids.tolist() == [1, 2]
    sampler.accept(2, kept)  # a third: 1.585 bits
    assert sampler.mu == pytest.approx(2.2 - 0.5 * (np.log2(3) - 1.1), rel=1e-6)
    assert sampler.apply(Candidates.of(logits), state()).ids.tolist() == [1]
    sampler.mu = -3
    assert sampler.apply(Candidates.of(logits), state()).ids.tolist() == [1]


def test_mirostat_1_keeps_what_zipf_says() -> None:
    """With p ~ 1/rank^2 the exponent is 2, so k = (2^mu / (1 - 1/N))^(1/2)."""
    weights = 1 / np.arange(1, 1001) ** 2.0
    logits = np.log(weights / weights.sum()).astype(np.float32)
    known = State([], np.random.default_rng(0), 1000)
    for mu in (4.0, 6.5, 9.0):
        sampler = Mirostat1(tau=mu / 2)
        kept = sampler.apply(Candidates.of(logits), known)
        assert len(kept) == int((2**mu / (1 - 1 / 1000)) ** 0.5)
    flat = np.zeros(30, np.float32)
    assert len(Mirostat1(5).apply(Candidates.of(flat), known)) == 30
    assert len(Mirostat1(5).apply(Candidates.of(flat[:1]), known)) == 1


def test_adaptive_p_aims_at_its_target() -> None:
    sampler = AdaptiveP(0.3, decay=0.5)
    assert sampler.aim == pytest.approx(0.3)
    first = sampler.apply(Candidates.of(P), state())
    expected = 5 - 10 * np.array([2 / 3, 1 / 3, 1 / 3, 0]) ** 2 / (
        1 + np.array([2 / 3, 1 / 3, 1 / 3, 0])
    )
    np.testing.assert_allclose(first.logits, expected, rtol=1e-4, atol=1e-5)
    sampler.accept(1, first)  # 0.4: the mean is now (0.4 + 0.3) / 2
    assert sampler.aim == pytest.approx(0.6 - 0.35)


def test_min_tokens() -> None:
    sampler = MinTokens([1, 3], 5)
    assert sampler.apply(Candidates.of(P), state(0, 0, 0, 0)).sorted().ids.tolist() == [2, 0]
    assert left(sampler, P, 0, 0, 0, 0, 0) == [0, 1, 2, 3]


FILTERS = [
    TopK(7),
    TopP(0.8),
    MinP(0.1),
    Typical(0.7),
    TailFree(0.8),
    TopNSigma(1.5),
    Xtc(1, 0.05),
]


@pytest.mark.parametrize("sampler", FILTERS, ids=lambda sampler: sampler.name)
@given(st.integers(0, 1000))
def test_filters_keep_logits_and_leave_a_subset(sampler, seed: int) -> None:
    logits = (np.random.default_rng(seed).standard_normal(60) * 2).astype(np.float32)
    kept = sampler.apply(Candidates.of(logits), state())
    assert 0 < len(kept) <= 60
    np.testing.assert_array_equal(kept.logits, logits[kept.ids])
    if sampler.name in ("top_k", "min_p"):  # the others look at what is left anew
        again = sampler.apply(kept, state())
        assert sorted(again.ids.tolist()) == sorted(kept.ids.tolist())
