"""What is learned from a text, and what is held out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from zigllm_cli.errors import InputError
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.tasks.text import Text

LINES = [f"line {i} is here" for i in range(200)]


def settings(**changes: object) -> Settings:
    return Settings().changed(**{"context": 16, "batch": 4, **changes})


def test_targets_are_the_tokens_behind() -> None:
    task = Text(settings(), "\n".join(LINES))
    tokens, targets = task.batch(5, 0)
    assert tokens.shape == targets.shape == (4, 16)
    np.testing.assert_array_equal(tokens[:, 1:], targets[:, :-1])
    again, _ = task.batch(5, 0)
    np.testing.assert_array_equal(tokens, again)
    assert (task.batch(6, 0)[0] != tokens).any()
    assert (task.batch(5, 1)[0] != tokens).any()


def test_the_end_of_the_text_is_held_out() -> None:
    text = "\n".join(LINES)
    task = Text(settings(validation=0.25), text)
    whole = task.vocabulary.decode([*task.learned.tolist(), *task.held.tolist()])
    assert whole == text
    assert len(task.held) == pytest.approx(0.25 * len(text), abs=1)


def test_every_held_out_token_but_the_first_is_predicted_once() -> None:
    task = Text(settings(), "\n".join(LINES))
    seen = [
        int(target)
        for _, targets in task.held_out(None)
        for target in targets.ravel()
        if target >= 0
    ]
    assert seen == task.held[1:].tolist()
    some = list(task.held_out(2))
    assert sum(len(tokens) for tokens, _ in some) == 8


def test_lines_are_documents_between_end_tokens() -> None:
    task = Text(settings(task="lines"), "\n".join(LINES))
    end = task.vocabulary.end
    assert task.vocabulary.tokenizer.add_bos
    parts = [task.learned.tolist(), task.held.tolist()]
    found = []
    for ids in parts:
        assert ids[0] == ids[-1] == end
        cuts = [i for i, token in enumerate(ids) if token == end]
        found += [task.vocabulary.decode(ids[a + 1 : b]) for a, b in pairwise(cuts)]
    assert sorted(found) == sorted(LINES)
    assert found != LINES


def test_end_tokens_in_a_text_are_recognised() -> None:
    task = Text(settings(validation=0.0), "<|endoftext|>".join(LINES))
    assert (task.learned == task.vocabulary.end).sum() == len(LINES) - 1
    assert task.vocabulary.tokenizer.add_bos
    assert list(task.held_out(None)) == []


@pytest.mark.parametrize("text", ["", "short"])
def test_a_text_that_is_too_short(text: str) -> None:
    with pytest.raises(InputError, match="give a longer text or a smaller --ctx"):
        Text(settings(), text)
