"""How texts are cut into windows, against plain slices; and windows into steps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.evaluate.steps import groups, steps
from zigllm_cli.evaluate.windows import Window, Windowing, shard_of
from zigllm_cli.plan.lowering import Mode

BOS = 999_999


def blocks(count: int, size: int) -> list[list[int]]:
    """The tokens 0, 1, ... in blocks."""
    tokens = list(range(count))
    return [tokens[at : at + size] for at in range(0, count, size)]


def cut(windowing: Windowing, count: int, size: int = 7, limit: int | None = None) -> list[Window]:
    return list(windowing.windows(blocks(count, size), BOS, limit))


@settings(deadline=None)
@given(st.integers(4, 40), st.integers(0, 300), st.integers(1, 50))
def test_chunks_are_those_of_llama_perplexity(ctx: int, count: int, size: int) -> None:
    if count < 2 * ctx:
        with pytest.raises(
            InputError, match=rf"has {count} token{'s' * (count != 1)}, but.*need {2 * ctx}"
        ):
            cut(Windowing.chunks(ctx), count, size)
        return
    windows = cut(Windowing.chunks(ctx), count, size)
    assert len(windows) == count // ctx
    for k, window in enumerate(windows):
        assert window.number == k
        assert window.text_tokens == tuple(range(k * ctx, (k + 1) * ctx))
        assert window.tokens[0] == BOS
        assert window.targets == window.text_tokens[ctx // 2 + 1 :]
        assert len(window.targets) == ctx - ctx // 2 - 1


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(1, 29), st.integers(0, 200))
def test_stride(ctx: int, stride: int, count: int) -> None:
    if stride >= ctx:
        with pytest.raises(UsageError, match="stride"):
            Windowing.strided(ctx, stride)
        return
    if count <= ctx:
        with pytest.raises(InputError):
            cut(Windowing.strided(ctx, stride), count)
        return
    windows = cut(Windowing.strided(ctx, stride), count)
    assert len(windows) == (count - ctx + stride - 1) // stride
    for k, window in enumerate(windows):
        assert window.text_tokens == tuple(range(k * stride, k * stride + ctx))
        assert window.targets == window.text_tokens[ctx - stride :]


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(0, 29), st.integers(2, 200))
def test_sliding_windows_score_every_token_once(length: int, overlap: int, count: int) -> None:
    if overlap >= length:
        with pytest.raises(UsageError, match="overlap"):
            Windowing.sliding(length, overlap)
        return
    windows = cut(Windowing.sliding(length, overlap), count)
    scored = [token for window in windows for token in window.targets]
    if overlap:
        assert scored == list(range(1, count))
    else:
        assert scored == [token for token in range(count) if token % length]
    for window in windows[1:]:
        assert len(window.tokens) - len(window.targets) == max(overlap, 1)
        assert window.start == window.original


def test_limit_and_bos() -> None:
    windowing = Windowing.chunks(8)
    assert len(cut(windowing, 100, limit=3)) == 3
    assert len(cut(windowing, 20, limit=3)) == 2
    plain = list(windowing.windows(blocks(16, 5), None))
    assert plain[0].tokens == tuple(range(8))
    with pytest.raises(UsageError, match="too short"):
        Windowing.chunks(3)
    with pytest.raises(UsageError, match="too short"):
        Windowing.sliding(1, 0)


def test_shards_share_all_windows() -> None:
    windows = cut(Windowing.chunks(8), 100)
    shards = [list(shard_of(windows, shard, 5)) for shard in range(1, 6)]
    assert sorted(w.number for shard in shards for w in shard) == list(range(len(windows)))
    assert [w.number for w in shards[1]] == [1, 6, 11]


@settings(deadline=None)
@given(
    st.integers(4, 90),
    st.integers(16, 64),
    st.sampled_from(["chunks", "sliding"]),
    st.integers(180, 400),
)
def test_steps_score_each_target_once(length: int, batch: int, kind: str, count: int) -> None:
    chunks = kind == "chunks"
    windowing = Windowing.chunks(length) if chunks else Windowing.sliding(length, length // 3)
    windows = cut(windowing, count)
    seen: list[Window] = []
    for group in groups(windows, batch, length):
        seen += group
        targets = []
        for step in steps(group, batch):
            assert 0 < len(step.batch) <= batch
            assert step.batch.outputs == sorted(step.batch.outputs)
            assert len(step.targets) == len(step.batch.outputs)
            for at, target in zip(step.batch.outputs, step.targets, strict=True):
                window = group[step.batch.sequences[at]]
                place = step.batch.positions[at]
                assert step.batch.tokens[at] == window.tokens[place]
                assert window.tokens[place + 1] == target
            assert sum(part.last - part.first for part in step.parts) == len(step.targets)
            targets += step.targets
        assert targets == [target for window in group for target in window.targets]
        if len(group) > 1:
            counts = [count for w in group for count in (len(w.tokens), len(w.targets))]
            assert {Mode.of(count) for count in counts} == {Mode.MANY}
    assert seen == windows
