"""What must not matter, for every family: how a sequence is cut, where it stands in a batch, who
is beside it, what was cached and forgotten before, and a window as wide as the context."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_runs import MADE, TOLERANCE, distance, logits, runner

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.runner import Runner
from zigllm_cli.plan.operations import Attention
from zigllm_cli.plan.plan import Plan

KIT = (
    *("bloom", "falcon-mq", "falcon-new", "gemma", "gemma2", "gemma3", "gpt2", "gptj", "gptneo"),
    *("gptneox", "llama-gqa-spm", "mpt", "olmo2", "phi2", "phi3-longrope", "qwen1", "qwen2"),
    *("qwen3", "stablelm", "starcoder", "starcoder2"),
    *("mamba", "mixtral", "qwen2moe"),
)
MODELS = (*KIT, *sorted(path.stem for path in MADE.glob("*.npz") if path.stem != "nomic-bert"))
WINDOWED = ("gemma2", "gemma3", "gptneo", "cohere2", "exaone4-local", "olmo3")
TOKENS = 24

schedules = st.lists(
    st.tuples(
        st.integers(1, 18),  # tokens of a step
        st.integers(0, 3),  # strangers before them
        st.integers(0, 17),  # strangers behind them
        st.integers(0, 9),  # positions to forget afterwards
    ),
    min_size=1,
    max_size=6,
)


def path_of(model: str, kit: Path) -> Path:
    return kit / "models" / model / "model-f32.gguf" if model in KIT else MADE / f"{model}.gguf"


@pytest.mark.parametrize("model", MODELS)
def test_how_it_came_to_be_cached_does_not_matter(kit: Path, model: str) -> None:
    tokens = np.random.default_rng(1).integers(3, 90, TOKENS).tolist()
    with runner(path_of(model, kit), sequences=3, context=64) as run:
        whole = logits(run, tokens, TOKENS)

        @settings(
            max_examples=6,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(schedules)
        def check(schedule: list[tuple[int, int, int, int]]) -> None:
            known = followed(run, tokens, schedule)
            assert known
            for position, row in known.items():
                assert distance(row, whole[position]) <= TOLERANCE

        check()


def followed(
    run: Runner, tokens: list[int], schedule: list[tuple[int, int, int, int]]
) -> dict[int, Any]:
    """Logits by position, as a schedule of steps gave them last."""
    known: dict[int, Any] = {}
    done = 0
    for slot in range(3):
        run.truncate(slot, 0)
    for count, before, behind, forgotten in schedule:
        part = tokens[done : done + count]
        batch = Batch([], [], [], [])
        for slot, ids, start in (
            (1, tokens[5 : 5 + before], run.length(1)),
            (2, part, done),
            (0, tokens[2 : 2 + behind], run.length(0)),
        ):
            if start + len(ids) > 64:
                run.truncate(slot, 0)
                start = 0
            if slot == 2:
                batch.outputs += range(len(batch), len(batch) + len(ids))
            batch.tokens += ids
            batch.positions += range(start, start + len(ids))
            batch.sequences += [slot] * len(ids)
        if not batch.tokens:
            continue
        for position, row in enumerate(run.step(batch), done):
            known[position] = row
        run.truncate(2, max(done + len(part) - forgotten, 0))
        done = run.length(2)  # 0 where a state cannot go back
    return known


@pytest.mark.parametrize("model", WINDOWED)
def test_a_window_as_wide_as_the_context_is_none(
    kit: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = np.random.default_rng(1).integers(3, 90, TOKENS).tolist()
    results = []
    for width in (0, TOKENS, 4):
        monkeypatch.setattr(Runner, "_plan", with_windows(width))
        with runner(path_of(model, kit), context=64) as run:
            results.append([logits(run, tokens, piece) for piece in (TOKENS, 5, 1)])
    for without, wide, narrow in zip(*results, strict=True):
        assert np.array_equal(without, wide)
        assert distance(narrow, without) > 1e-3


def with_windows(width: int) -> Any:
    """A `Runner._plan` whose local layers see so many positions."""

    def plan(self: Runner, output: str) -> Plan:
        made: Plan = self.model.plan(self.context)
        local = [op for op in made.operations if isinstance(op, Attention) and op.window]
        assert local
        made.operations = [
            replace(op, window=width) if op in local else op for op in made.operations
        ]
        return made

    return plan
