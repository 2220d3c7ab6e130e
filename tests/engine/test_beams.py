"""Beam search: by brute force on a small vocabulary, and as transformers does it."""

from __future__ import annotations

from itertools import product, takewhile
from pathlib import Path

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.engine.beams import beam_search, log_softmax


def best_by_force(runner, prompt: list[int], length: int, tokens: range) -> list[tuple[int, ...]]:
    """All texts of a length, the likeliest first."""
    scored = []
    for text in product(tokens, repeat=length):
        total = 0.0
        for place, token in enumerate(text):
            row = runner.logits([*prompt, *text[:place]])
            total += log_softmax(row)[token]
        scored.append((-total, text))
    return [text for _, text in sorted(scored)]


def test_wide_beams_find_the_best(fake) -> None:
    runner = fake(context=16, sequences=40)
    tokens = range(4)
    logits = runner.logits
    runner.logits = lambda ids: np.where(np.arange(runner.vocabulary) < 4, logits(ids), -np.inf)
    expected = best_by_force(runner, [1, 2], 3, tokens)
    found = beam_search(runner, [1, 2], beams=16, ends=(), max_tokens=3)
    assert [beam.ids for beam in found[:5]] == expected[:5]
    assert all(np.diff([beam.log_probability for beam in found]) <= 0)
    (greedy,) = beam_search(runner, [1, 2], beams=1, ends=(), max_tokens=3)
    tokens_so_far = [1, 2]
    for token in greedy.ids:
        assert token == runner.logits(tokens_so_far).argmax()
        tokens_so_far.append(token)


def test_ends(fake) -> None:
    runner = fake(context=16, sequences=8)
    runner.script = {5: 7}  # the fifth token of any text is sure to be followed by the end
    found = beam_search(runner, [1, 2, 3], beams=2, ends={7}, max_tokens=9, length_penalty=0)
    assert found[0].is_ended
    assert len(found[0].ids) == 2
    assert 7 not in found[0].ids
    assert beam_search(runner, [1], beams=2, ends={7}, max_tokens=99)[0].ids


def until(ends: set[int], text: list[int]) -> list[int]:
    return list(takewhile(lambda token: token not in ends, text))


@pytest.mark.oracle
@pytest.mark.parametrize("beams", [2, 5])
@pytest.mark.parametrize("penalty", [1.0, 0.0, 2.0])
def test_as_transformers(kit: Path, torch_llama, beams: int, penalty: float) -> None:
    import torch

    path = kit / "real/stories260K-f32.gguf"
    theirs = torch_llama(path)
    model = zigllm_cli.load(path, kv_type="f32")
    ends = model.tokenizer.vocabulary.end_ids
    for prompt in ("Once upon a time", "The dog", "She said"):
        ids = model.prompt_ids(prompt)
        expected = theirs.generate(
            torch.tensor([ids]),
            num_beams=beams,
            num_return_sequences=beams,
            max_new_tokens=24,
            do_sample=False,
            length_penalty=penalty,
            early_stopping=False,
            eos_token_id=sorted(ends),
            pad_token_id=0,
            bos_token_id=1,
            return_dict_in_generate=True,
            output_scores=True,
        )
        found = beam_search(
            model.runner(sequences=2 * beams),
            ids,
            beams=beams,
            ends=ends,
            max_tokens=24,
            length_penalty=penalty,
        )
        texts = [row[len(ids) :] for row in expected.sequences.tolist()]
        cut = [
            tuple(text[: next((i for i, t in enumerate(text) if t in ends), 24)]) for text in texts
        ]
        assert [beam.ids for beam in found] == cut
        scores = [beam.score(penalty) for beam in found]
        np.testing.assert_allclose(scores, expected.sequences_scores.numpy(), rtol=1e-4)
