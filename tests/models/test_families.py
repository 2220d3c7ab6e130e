"""Every family against the logits of two independent engines, in all the ways a step may be cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_runs import (
    GELU_TOLERANCE,
    TOLERANCE,
    all_at_once,
    distance,
    greedy,
    interleaved,
    logits,
    reference,
    runner,
)

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.models import architecture
from zigllm_cli.plan.interpreter import Interpreter

GELU = (
    *("bloom", "falcon-mq", "falcon-new", "gemma", "gemma2", "gemma3", "gpt2", "gptj", "gptneo"),
    *("gptneox", "mpt", "phi2", "starcoder", "starcoder2"),
)
OTHERS = (
    *("llama-gqa-spm", "llama-k256", "llama3-bpe-ropescale", "mistral-swa", "olmo2"),
    *("phi3-longrope", "qwen1", "qwen2", "qwen2-k256", "qwen3", "stablelm"),
    *("mamba", "mixtral", "qwen2moe"),
)
MODELS = GELU + OTHERS


def context_of(tokens: list[int]) -> int:
    """What `model.logits` opens: a multiple of 256, by which longrope chooses its factors."""
    return -(-len(tokens) // 256) * 256


def check(mine: np.ndarray, answers: dict[str, np.ndarray], model: str) -> None:
    """Both engines, each with the tolerance that its arithmetic allows."""
    assert answers
    for engine, expected in answers.items():
        bound = GELU_TOLERANCE if model in GELU and engine == "llamacpp" else TOLERANCE
        assert distance(mine, expected) <= bound, engine


@pytest.mark.parametrize("long", [False, True], ids=("short", "long"))
@pytest.mark.parametrize("model", MODELS)
def test_all_tokens_at_once(kit: Path, model: str, long: bool) -> None:
    folder = kit / "models" / model
    known = reference(folder, long=long)
    with runner(folder / "model-f32.gguf", context=context_of(known.tokens)) as run:
        mine = logits(run, known.tokens, len(known.tokens))[known.positions]
    check(mine, known.answers, model)


@pytest.mark.parametrize("model", MODELS)
def test_in_pieces_one_by_one_and_among_others(kit: Path, model: str) -> None:
    folder = kit / "models" / model
    known = reference(folder)
    with runner(folder / "model-f32.gguf", sequences=3) as run:
        check(logits(run, known.tokens, 19), known.answers, model)
        check(logits(run, known.tokens, 1, slot=1), known.answers, model)
        check(interleaved(run, known.tokens, 7, slot=2, other=1), known.answers, model)


@pytest.mark.parametrize("model", MODELS)
def test_greedy_ids(kit: Path, model: str) -> None:
    folder = kit / "models" / model
    data = np.load(folder / "reference.npz")
    with runner(folder / "model-f32.gguf") as run:
        ids = greedy(run, [int(token) for token in data["greedy_prompt"]], len(data["greedy_ids"]))
    assert ids == data["greedy_ids"].tolist()


@pytest.mark.parametrize("model", MODELS)
def test_the_interpreter_agrees(kit: Path, model: str) -> None:
    folder = kit / "models" / model
    known = reference(folder)
    plan = architecture(open_gguf(folder / "model-f32.gguf")).plan(256)
    check(Interpreter(plan).logits(known.tokens), known.answers, model)


@pytest.mark.parametrize("model", ["bert-cls", "bert-mean"])
def test_hidden_states_of_encoders(kit: Path, model: str) -> None:
    """All texts in one step, and each alone: a text does not see the others."""
    folder = kit / "models" / model
    data = np.load(folder / "reference.npz")
    texts = [[int(token) for token in data[f"tokens_{i}"]] for i in range(9)]
    with runner(folder / "model-f32.gguf", context=128, sequences=9, output="hidden") as run:
        together = run.step(all_at_once(texts))
        alone = []
        for text in texts:
            run.truncate(0, 0)
            alone.append(run.step(all_at_once([text])))
    start = 0
    for i, text in enumerate(texts):
        mine = together[start : start + len(text)]
        start += len(text)
        assert np.abs(mine - data[f"hidden_llamacpp_{i}"]).max() <= 3e-3
        assert np.abs(mine - data[f"hidden_hf_{i}"]).max() <= 1e-4
        assert np.abs(alone[i] - mine).max() <= 1e-5


def test_an_encoder_has_no_logits(kit: Path) -> None:
    with (
        pytest.raises(UnsupportedError, match=r"bert is an encoder.*zigllm embed"),
        runner(kit / "models/bert-cls/model-f32.gguf", context=128),
    ):
        pass


def test_more_context_than_learned_positions(kit: Path) -> None:
    with (
        pytest.raises(InputError, match=r"knows 256 positions.*--ctx 256 or less"),
        runner(kit / "models/gpt2/model-f32.gguf", context=300),
    ):
        pass
