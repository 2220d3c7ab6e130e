"""Log-probabilities, ranks and divergences against float64, through the engine's scorer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.engine.scoring import Scorer, Scores

WIDTHS = [1, 2, 7, 15, 16, 17, 31, 33, 1000, 1023, 1024, 1025, 4099, 32000]


@pytest.fixture(scope="module", params=[1, 2, 3])
def scorer(request: pytest.FixtureRequest) -> Iterator[Scorer]:
    """A scorer with so many threads."""
    runner = zigllm_cli.load(RANDOM, threads=request.param).runner(16)
    yield Scorer(runner)
    runner.close()


def logits_of(width: int, seed: int = 0, rows: int = 5) -> np.ndarray:
    rng = np.random.default_rng([width, seed])
    return (rng.standard_normal((rows, width)) * 6 + 3).astype(np.float32)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    wide = wide - wide.max(1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(1, keepdims=True))


@pytest.mark.parametrize("width", WIDTHS)
def test_scores(scorer: Scorer, width: int) -> None:
    logits = logits_of(width)
    tokens = np.random.default_rng(width).integers(0, width, len(logits))
    scores = scorer.score(logits, tokens)
    wanted = log_softmax(logits)
    rows = np.arange(len(logits))
    np.testing.assert_allclose(scores.log_probs, wanted[rows, tokens], atol=1e-6)
    np.testing.assert_allclose(logits[:, 0] - scores.log_sums, wanted[:, 0], atol=1e-6)
    np.testing.assert_array_equal(scores.tops, logits.argmax(1))
    larger = (logits > logits[rows, tokens][:, None]).sum(1)
    np.testing.assert_array_equal(scores.ranks, larger + 1)


def test_ties_infinities_and_nan(scorer: Scorer) -> None:
    logits = np.full((4, 37), -1.0, np.float32)
    logits[0, [35, 3, 20]] = 2.0
    logits[1, 5:] = -np.inf
    logits[2, 36] = np.nan
    logits[3] = -2e30
    scores = scorer.score(logits, [20, 4, 0, 7])
    assert scores.tops[:2].tolist() == [3, 0]
    assert scores.ranks[:2].tolist() == [1, 1]
    assert scores.log_probs[1] == pytest.approx(-np.log(5))
    assert np.isnan(scores.log_sums[2])
    assert scores.log_probs[3] == pytest.approx(-np.log(37))


def test_rows_may_be_far_apart(scorer: Scorer) -> None:
    wide = logits_of(100)
    part = wide[:, 11:90]
    close = np.ascontiguousarray(part)
    one, other = scorer.score(part, [3] * 5), scorer.score(close, [3] * 5)
    np.testing.assert_array_equal(one.log_probs, other.log_probs)
    assert len(Scores.joined([one, other])) == 10
    assert len(scorer.score(part[:0], [])) == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("distance", [1e-3, 1.0])
def test_divergence(scorer: Scorer, width: int, distance: float) -> None:
    base = logits_of(width)
    noise = np.random.default_rng(width).standard_normal(base.shape)
    logits = (base + distance * noise).astype(np.float32)
    tokens = [0] * len(base)
    own, other = scorer.score(logits, tokens).log_sums, scorer.score(base, tokens).log_sums
    p, q = log_softmax(base), log_softmax(logits)
    found = scorer.divergence(base, other, logits, own)
    np.testing.assert_allclose(found, (np.exp(p) * (p - q)).sum(1), rtol=1e-5, atol=5e-7)
    floored = scorer.divergence(base, other, logits, own, floor=-5)
    terms = np.where((base - other[:, None]).astype(np.float32) > -5, np.exp(p) * (p - q), 0)
    np.testing.assert_allclose(floored, terms.sum(1), rtol=1e-4, atol=2e-4)


def test_divergence_of_equals_is_nothing(scorer: Scorer) -> None:
    logits = logits_of(5000)
    logits[0, 7] = -np.inf
    sums = scorer.score(logits, [0] * 5).log_sums
    assert (scorer.divergence(logits, sums, logits.copy(), sums) == 0).all()


@pytest.fixture(scope="module")
def all_threads() -> Callable[[np.ndarray], list[Scores]]:
    """Scores of the same rows by 1, 2 and 5 threads."""

    def score(logits: np.ndarray) -> list[Scores]:
        found = []
        for threads in (1, 2, 5):
            runner = zigllm_cli.load(RANDOM, threads=threads).runner(16)
            found.append(Scorer(runner).score(logits, [1] * len(logits)))
            runner.close()
        return found

    return score


def test_threads_do_not_matter(all_threads: Callable[[np.ndarray], list[Scores]]) -> None:
    first, *others = all_threads(logits_of(3001, rows=7))
    for other in others:
        np.testing.assert_array_equal(first.log_probs, other.log_probs)
        np.testing.assert_array_equal(first.log_sums, other.log_sums)
