"""Guessing ahead: the text stays the same, whatever the guesses are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.engine.drafting import ModelDrafter, NgramDrafter, Pace, check_draft
from zigllm_cli.engine.generation import Continuation, Generation
from zigllm_cli.engine.session import Session
from zigllm_cli.errors import UsageError
from zigllm_cli.model import Model
from zigllm_cli.sampling import Sampling, chain_for


class Oracle:
    """Guesses what it was told, right up to a random place."""

    def __init__(self, text: Sequence[int], start: int, seed: int) -> None:
        self.text, self.start, self.random = list(text), start, random.Random(seed)

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        place = len(tokens) - self.start
        guesses = self.text[place : place + min(most, 7)]
        right = self.random.randint(0, len(guesses))
        return guesses[:right] + [5] * (len(guesses) - right)


def test_whatever_is_guessed(tokenizer, fake) -> None:
    """With a chain that draws, over a runner whose logits depend on the whole text."""

    def run(drafter, **options) -> Generation:
        chain = chain_for(tokenizer, Sampling(seed=3, temperature=1.5, ignore_eos=True))
        follow = Continuation(tokenizer, chain, [1, 9, 9], **options)
        generation = Generation(Session(fake()), follow, drafter=drafter)
        list(generation)
        return generation

    plain = run(None, max_tokens=40)
    for seed in range(10):
        guessed = run(Oracle(plain.ids, 3, seed), max_tokens=40)
        assert (guessed.ids, guessed.text) == (plain.ids, plain.text)
        assert guessed.timings.decode_tokens == plain.timings.decode_tokens == 39
        assert guessed.session.tokens == plain.session.tokens
        assert 0 < guessed.timings.accepted < guessed.timings.drafted
    whole = run(None)
    assert whole.finish_reason == "context"
    guessed = run(Oracle(whole.ids, 3, 1))
    assert (guessed.ids, guessed.finish_reason) == (whole.ids, "context")


def test_ngrams() -> None:
    drafter = NgramDrafter(longest=3, most=3)
    assert drafter.propose([1, 2, 3], 9) == []
    assert drafter.propose([1, 2, 3, 4, 5, 2, 3], 9) == [4, 5, 2]
    assert NgramDrafter().propose([1, 2, 3, 4, 5, 2, 3], 2) == [4, 5]
    last = [1, 2, 3, 4, 5, 2, 3, 7, 2, 3]
    assert NgramDrafter().propose(last, 9) == [7, 2, 3]  # the last time before
    assert drafter.propose([9, 9, 9], 9) == [9]  # another text: nothing is kept of the first
    assert NgramDrafter().propose([], 9) == []


def test_pace() -> None:
    """3 at first, twice as many behind success, one more than came true behind failure."""
    pace, text = Pace(8), list(range(100))
    lengths = []
    place = 0
    for right in (3, 6, 8, 2, 3, 0, 1):
        length = pace.length(text[:place])
        lengths.append(length)
        guess = text[place : place + right] + [-1] * (length - right)
        pace.note(text[:place], guess[:length])
        place += right + 1
    assert lengths == [3, 6, 8, 8, 3, 6, 1]


@pytest.fixture(scope="module")
def model(kit: Path) -> Model:
    return zigllm_cli.load(kit / "real/stories260K-f32.gguf")


def drafters(model: Model, kit: Path) -> dict[str, object]:
    small = zigllm_cli.load(kit / "real/stories260K-Q8_0.gguf")
    return {
        "ngram": NgramDrafter(),
        "model": ModelDrafter(small.session(), least=0.2),
        "itself": ModelDrafter(model.session(), least=0.0),
    }


@pytest.mark.parametrize("kind", ["ngram", "model", "itself"])
def test_the_real_model_says_the_same(model: Model, kit: Path, kind: str) -> None:
    drafter = drafters(model, kit)[kind]
    for sampling in (Sampling(temperature=0), Sampling(temperature=1.2, seed=5)):
        for prompt in ("Once upon a time", "the cat sat on the mat. the cat sat on the mat. the"):
            ids = model.prompt_ids(prompt)
            texts = []
            for choice in (None, drafter):
                session = model.session()
                generation = model.continue_from(
                    session, ids, sampling, max_tokens=120, drafter=choice
                )
                texts.append("".join(generation))
                session.close()
            assert texts[0] == texts[1]
            if kind == "itself" and sampling.temperature == 0:
                assert generation.timings.accepted > 0.9 * generation.timings.drafted


def test_rows_together_are_rows_one_by_one(model: Model) -> None:
    """Bit for bit up to 8 tokens, so that a near tie is decided alike."""
    ids = model.prompt_ids("Once upon a time there was a little girl who liked")
    one, other = model.session(), model.session()
    one.eval(ids[:-8])
    other.eval(ids[:-8])
    rows = one.eval_all(ids[-8:])
    np.testing.assert_array_equal(rows, np.stack([other.eval([token]) for token in ids[-8:]]))
    one.close()
    other.close()


def test_drafts_of_another_vocabulary(model: Model, kit: Path) -> None:
    check_draft(model.tokenizer, model.tokenizer, "itself")
    for name, message in ((RANDOM, "token"), (kit / "vocab/ggml-vocab-gpt-2.gguf", "kind")):
        other = zigllm_cli.load(name).tokenizer
        with pytest.raises(UsageError, match=f"cannot draft for this model.*{message}"):
            check_draft(model.tokenizer, other, str(name))
