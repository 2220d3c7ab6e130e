"""Sessions of a model that remembers a state: it goes on or begins anew, and nobody notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.runner import Runner
from zigllm_cli.engine.session import Session, Slots, eval_together
from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.gguf import open_gguf

MADE = Path(__file__).parents[1] / "data/families"
TOKENS = [5, 9, 17, 33, 65, 64, 32, 16, 8, 4]


@pytest.fixture(scope="module", params=["falcon-mamba", "mamba2"])
def run(request: pytest.FixtureRequest) -> Iterator[Runner]:
    file = open_gguf(MADE / f"{request.param}.gguf")
    with closing(Runner(file, threads=2, context=64, sequences=4)) as runner:
        yield runner


def close(x: np.ndarray, y: np.ndarray) -> bool:
    return bool(np.abs(x - y).max() <= 2e-5 * np.abs(y).max())


def test_going_back_is_beginning_anew(run: Runner) -> None:
    session = Session(run)
    whole = session.eval(TOKENS)
    session.truncate(4)
    assert run.length(session.slot) == 0
    assert close(session.eval(TOKENS[4:]), whole)
    assert session.tokens == TOKENS
    assert session.reuse([*TOKENS[:6], 1, 2]) == 6
    expected = Session(run, 1).eval([*TOKENS[:6], 1, 2])
    assert close(session.eval([1, 2]), expected)


def test_a_slot_forgets_who_had_it_before(run: Runner) -> None:
    first = Session(run).eval(TOKENS)
    assert close(Session(run).eval(TOKENS), first)


def test_forks_and_steps_together(run: Runner) -> None:
    slots = Slots(run)
    first = Session(run, slots.take(), slots)
    first.eval(TOKENS[:5])
    second, third = first.fork(), first.fork()
    third.truncate(2)  # has to be evaluated again, within the common step
    rows = eval_together([first, second, third], [7, 8, 9])
    alone = Session(run, 3)
    for row, tokens in zip(
        rows, ([*TOKENS[:5], 7], [*TOKENS[:5], 8], [*TOKENS[:2], 9]), strict=True
    ):
        alone.truncate(0)
        assert close(row, alone.eval(tokens))


def test_an_interrupted_step_is_not_trusted(run: Runner) -> None:
    session = Session(run)
    session.eval(TOKENS[:3])
    run.cache.begin([session.slot])  # Ctrl-C before the step's end
    assert close(session.eval(TOKENS[3:]), Session(run, 1).eval(TOKENS))


def test_on_disk(run: Runner, tmp_path: Path) -> None:
    session = Session(run)
    session.eval(TOKENS[:6])
    session.save(tmp_path / "s")
    expected = session.eval(TOKENS[6:])
    other = Session(run, 1)
    other.eval([1, 2, 3])
    other.load(tmp_path / "s")
    assert run.length(other.slot) == 6
    assert np.array_equal(other.eval(TOKENS[6:]), expected)


def test_what_a_state_cannot_do_is_refused(run: Runner) -> None:
    session = Session(run)
    session.eval(TOKENS)
    with pytest.raises(UsageError, match="cannot forget part of its text"):
        session.shift(1, 2)
    with pytest.raises(InputError, match="cannot go back, only begin anew"):
        run.step(Batch.of([1], 3, session.slot))
