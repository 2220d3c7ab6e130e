"""The merging core: scan and heap agree with the definition, and long words stay near-linear."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.tokenizers.merging import PairMerger

words = st.text("abc", max_size=130)
parts = st.text("abc", min_size=1, max_size=3)
tables = st.lists(st.text("abc", min_size=2, max_size=6), unique=True, max_size=30)


def by_definition(word: str, ranks: dict[str, int], joint: str) -> list[str]:
    """The best pair again and again, slow and obvious."""
    symbols = list(word)
    while True:
        pairs = [
            (ranks[a + joint + b], at)
            for at, (a, b) in enumerate(itertools.pairwise(symbols))
            if a + joint + b in ranks
        ]
        if not pairs:
            return symbols
        _, at = min(pairs)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]


@given(words, tables)
def test_unions_with_equal_ranks(word: str, table: list[str]) -> None:
    ranks = {text: at // 3 for at, text in enumerate(table)}
    merger = PairMerger(ranks, "")
    expected = by_definition(word, ranks, "")
    assert merger.merge(word) == expected
    assert merger._queue(word) == expected


@given(words, st.lists(st.tuples(parts, parts), unique=True))
def test_pairs(word: str, pairs: list[tuple[str, str]]) -> None:
    ranks = {f"{left} {right}": at for at, (left, right) in enumerate(pairs)}
    merger = PairMerger(ranks, " ")
    expected = by_definition(word, ranks, " ")
    assert merger.merge(word) == expected
    assert merger._queue(word) == expected


@given(words, tables)
def test_steps_end_where_merge_does(word: str, table: list[str]) -> None:
    ranks = {text: at for at, text in enumerate(table)}
    merger = PairMerger(ranks, "")
    symbols = list(word)
    for after, at, rank in merger.steps(word):
        assert len(after) == len(symbols) - 1
        assert ranks[after[at]] == rank
        symbols = after
    assert symbols == merger.merge(word)


def test_a_long_word_looks_pairs_up_a_linear_number_of_times() -> None:
    """Counted, not timed: three look-ups per symbol at most, whatever merges."""

    class Counting(dict[str, int]):
        lookups = 0

        def get(self, key: str, default: int | None = None) -> int | None:  # type: ignore[override]
            Counting.lookups += 1
            return super().get(key, default)

    ranks = Counting({"a" * (1 << power): power for power in range(1, 15)})
    word = "a" * 30_000
    symbols = PairMerger(ranks, "").merge(word)
    assert "".join(symbols) == word
    assert len(symbols) < 20
    assert Counting.lookups <= 3 * len(word)


def test_pairs_of_characters_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zigllm_cli.tokenizers.merging.MAX_PAIRS", 2)
    merger = PairMerger({"cd": 1}, "")
    assert merger.merge("abcd") == ["a", "b", "cd"]
    assert set(merger._first) == {"ab", "bc"}
