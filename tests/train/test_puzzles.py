"""minGPT's puzzles: what is held out, what is learned, what counts, and that they are learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.train.settings import read_recipe
from zigllm_cli.train.tasks.puzzles import Adder, Puzzle, Sort

Run = Callable[..., CompletedProcess[str]]


def puzzles() -> list[Puzzle]:
    sort, adder = read_recipe("mingpt-sort").settings, read_recipe("mingpt-adder").settings
    return [
        Sort(sort),
        Sort(sort.changed(digits=9, symbols=10)),
        Adder(adder),
        Adder(adder.changed(digits=5)),
    ]


@pytest.mark.parametrize("puzzle", puzzles())
def test_held_out_questions_are_never_learned(puzzle: Puzzle) -> None:
    asked = {tuple(row) for row in puzzle.cases().tolist()}
    assert len(asked) == len(puzzle.cases())
    for step in range(20):
        tokens, _ = puzzle.batch(step, 0)
        assert not asked & {tuple(row) for row in tokens[:, : puzzle.question].tolist()}


@pytest.mark.parametrize("puzzle", puzzles())
def test_only_answers_count(puzzle: Puzzle) -> None:
    tokens, targets = puzzle.batch(3, 0)
    q = puzzle.question
    assert tokens.shape == targets.shape == (64, puzzle.context)
    assert (targets[:, : q - 1] == -1).all()
    np.testing.assert_array_equal(targets[:, q - 1 : -1], tokens[:, q:])


def test_answers_are_right() -> None:
    sort, _, adder, large = puzzles()
    assert sort.answers(np.array([[0, 2, 1, 1, 0, 2]])).tolist() == [[0, 0, 1, 1, 2, 2]]
    assert adder.answers(np.array([[8, 5, 5, 0], [9, 9, 9, 9]])).tolist() == [[5, 3, 1], [8, 9, 1]]
    question = [*map(int, "9999900001")]
    assert large.answers(np.array([question])).tolist() == [[0, 0, 0, 0, 0, 1]]


def test_solving_is_checked_digit_by_digit() -> None:
    class Knows:
        """Sorts, but for questions that begin with 2."""

        def logits(self, tokens: np.ndarray) -> np.ndarray:
            place = tokens.shape[1] - 6
            right = np.sort(tokens[:, :6], axis=1)[:, place]
            right[tokens[:, 0] == 2] = 0
            return np.eye(4)[right][:, None]

    puzzle = puzzles()[0]
    hard = (puzzle.cases()[:, 0] == 2) & (puzzle.cases() > 0).any(axis=1)
    assert puzzle.solved(Knows()) == (len(puzzle.cases()) - hard.sum(), len(puzzle.cases()))


def test_a_small_sorter_is_trained_and_answers(tmp_path: Path, zigllm: Run) -> None:
    output = tmp_path / "sort.gguf"
    options = ("--set", "digits=4", "--steps", "300", "--dropout", "0", "--lr", "0.003")
    done = zigllm("train", "-o", output, "--recipe", "mingpt-sort", *options, "--json")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["right"] == last["asked"] > 0
    model = zigllm_cli.load(output)
    assert "".join(model.generate("2101", max_tokens=4, temperature=0)) == "0112"


def test_a_puzzle_wants_no_data(tmp_path: Path, zigllm: Run) -> None:
    output = tmp_path / "sort.gguf"
    done = zigllm("train", tmp_path, "-o", output, "--recipe", "mingpt-sort")
    assert done.returncode == 2
    assert "sort makes its own data" in done.stderr
