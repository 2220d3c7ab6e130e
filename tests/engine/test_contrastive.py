"""Contrastive search against its formula, with logits and hidden states of another engine."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.contrastive import ContrastiveSearch
from zigllm_cli.engine.generation import Continuation
from zigllm_cli.errors import UsageError
from zigllm_cli.model import Model
from zigllm_cli.sampling import Sampling


@pytest.fixture(scope="module")
def model(kit: Path) -> Model:
    return zigllm_cli.load(kit / "real/stories260K-f32.gguf", kv_type="f32")


def search(model: Model, prompt: str, k: int, alpha: float, count: int = 40) -> Continuation:
    ids = model.prompt_ids(prompt)
    chain = Sampling().chain()
    continuation = Continuation(model.tokenizer, chain, ids, max_tokens=count)
    text = "".join(ContrastiveSearch(model.runner(sequences=k), k, alpha).run(continuation))
    assert text == continuation.text
    return continuation


def test_without_contrast_it_is_greedy(model: Model) -> None:
    greedy = model.generate("Once upon a time", max_tokens=40, temperature=0)
    list(greedy)
    assert search(model, "Once upon a time", 3, 0.0).ids == greedy.ids
    assert search(model, "Once upon a time", 1, 0.9).ids == greedy.ids


def test_contrast_avoids_repetition(model: Model) -> None:
    prompt = "the cat the cat the cat the cat the"
    plain, other = search(model, prompt, 5, 0.0), search(model, prompt, 5, 0.8)
    assert plain.ids != other.ids


def test_settings(model: Model) -> None:
    with pytest.raises(UsageError, match="contrastive-alpha is 2"):
        ContrastiveSearch(model.runner(), 4, 2)
    with pytest.raises(UsageError, match="contrastive-k is 0"):
        ContrastiveSearch(model.runner(), 0, 0.5)
    full = search(zigllm_cli.load(model.file.path, ctx=12), "Once upon a time", 3, 0.6)
    assert full.finish_reason == "context"
    assert len(full.tokens) == 12


def test_hidden_states_make_the_logits(model: Model) -> None:
    """This model's output weights are its embeddings."""
    runner = model.runner(64)
    logits = runner.step(Batch.of([1, 5, 9, 7], 0, 0, outputs=[1, 3]))
    tensors = gguf.GGUFReader(model.file.path).tensors
    (table,) = (tensor.data for tensor in tensors if tensor.name == "token_embd.weight")
    np.testing.assert_allclose(runner.hidden(2) @ table.T, logits, atol=1e-3)


@pytest.mark.oracle
@pytest.mark.parametrize(("k", "alpha"), [(4, 0.6), (8, 0.3), (2, 0.9)])
def test_by_the_formula(model: Model, kit: Path, torch_llama, k: int, alpha: float) -> None:
    """float64, every step from the beginning, with transformers' model."""
    import torch

    theirs = torch_llama(kit / "real/stories260K-f32.gguf")

    def evaluate(tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            out = theirs(torch.tensor([tokens]), output_hidden_states=True)
        states = out.hidden_states[-1][0].double().numpy()
        return out.logits[0, -1].double().numpy(), states / np.linalg.norm(states, axis=1)[:, None]

    tokens = model.prompt_ids("One day, a big dog")
    start = len(tokens)
    for _ in range(25):
        logits, context = evaluate(tokens)
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        candidates = np.argsort(-logits)[:k]
        likeness = [(evaluate([*tokens, int(v)])[1][-1] @ context.T).max() for v in candidates]
        scores = (1 - alpha) * shares[candidates] - alpha * np.array(likeness)
        tokens.append(int(candidates[scores.argmax()]))
    assert search(model, "One day, a big dog", k, alpha, 25).ids == tokens[start:]
