"""Sessions: evaluate, go back, fork, shift, and files that may be anything."""

from __future__ import annotations

import gc
import random
from pathlib import Path

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.engine.fingerprint import fingerprint
from zigllm_cli.engine.session import HEADER, Session, Slots, eval_together
from zigllm_cli.errors import InputError, UsageError, ZigllmError


def same(x: np.ndarray, y: np.ndarray) -> bool:
    return x.dtype == y.dtype == np.float32 and np.array_equal(x, y)


def test_eval_in_pieces_and_back(fake) -> None:
    session = Session(fake())
    whole = session.eval([5, 6, 7, 8])
    assert whole.shape == (session.runner.vocabulary,)
    assert (session.tokens, len(session), session.room) == ([5, 6, 7, 8], 4, 60)
    session.truncate(1)
    session.eval(np.array([6, 7]))
    assert same(session.eval([8]), whole)
    assert all(type(token) is int for token in session.tokens)


def test_reuse_keeps_the_common_prefix(fake) -> None:
    session = Session(fake())
    session.eval([1, 2, 3, 4, 5])
    assert session.reuse([1, 2, 9, 9]) == 2
    assert session.tokens == [1, 2]
    assert session.reuse([1, 2]) == 1  # the logits behind 2 are not kept
    assert session.reuse([7]) == 0
    assert session.reuse([]) == 0


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "no tokens"),
        ([-1], "token id -1 is outside the vocabulary of 384 tokens"),
        ([0, 384], "token id 384"),
        ([1] * 65, "65 tokens do not fit in the context of 64"),
    ],
)
def test_eval_refuses(fake, ids: list[int], message: str) -> None:
    session = Session(fake())
    with pytest.raises(UsageError, match=message):
        session.eval(ids)
    assert session.tokens == []


def test_truncate_refuses_what_is_not_there(fake) -> None:
    session = Session(fake())
    session.eval([1, 2])
    for length in (-1, 3):
        with pytest.raises(UsageError, match=f"back to {length} tokens"):
            session.truncate(length)


def test_an_interrupted_step_leaves_no_trace(fake) -> None:
    runner = fake()
    session = Session(runner)
    session.eval([1, 2])
    runner.slots[0].append(9)  # as Ctrl-C between the engine's step and its report does
    assert same(session.eval([3]), runner.logits([1, 2, 3]))


def test_fork(fake) -> None:
    runner = fake(sequences=2)
    slots = Slots(runner)
    first = Session(runner, slots.take(), slots)
    first.eval([1, 2])
    second = first.fork()
    assert same(first.eval([3]), second.eval([3]))
    assert second.tokens == [1, 2, 3]
    with pytest.raises(UsageError, match="no free sequence: the engine was opened for 2"):
        first.fork()
    second.close()
    third = first.fork()
    assert third.tokens == first.tokens
    with pytest.raises(UsageError, match="stands alone"):
        Session(fake()).fork()


def test_a_forgotten_session_gives_its_slot_back(fake) -> None:
    slots = Slots(fake())
    Session(fake(), slots.take(), slots)
    gc.collect()
    assert len(slots) == 1


def test_together_as_alone(fake) -> None:
    runner = fake(sequences=3)
    sessions = [Session(runner, slot) for slot in range(3)]
    for number, session in enumerate(sessions):
        session.eval([number + 1] * (number + 1))
    rows = eval_together(sessions[::-1], [7, 8, 9])
    assert runner.steps[-1] == 3
    assert same(rows[0], runner.logits([3, 3, 3, 7]))
    assert same(rows[2], runner.logits([1, 9]))
    assert sessions[1].tokens == [2, 2, 8]


def test_shift(fake) -> None:
    session = Session(fake())
    session.eval([1, 2, 3, 4, 5, 6])
    session.shift(1, 2)
    assert session.tokens == session.runner.slots[0] == [1, 4, 5, 6]


def test_save_and_load(fake, tmp_path: Path) -> None:
    path = tmp_path / "story.session"
    session = Session(fake())
    session.eval([1, 2, 3])
    session.save(path)
    other = Session(fake())
    other.eval([9, 9, 9, 9])
    other.load(path)
    assert other.tokens == [1, 2, 3]
    assert same(other.eval([4]), session.eval([4]))
    assert list(tmp_path.iterdir()) == [path]


def test_load_refuses(fake, tmp_path: Path, kit: Path) -> None:
    path = tmp_path / "s"
    session = Session(fake())
    session.eval([1, 2, 3])
    session.save(path)
    with pytest.raises(InputError, match="holds 3 tokens, but the context is 2"):
        Session(fake(context=2)).load(path)
    other = fake()
    other.file = zigllm_cli.load(kit / "real/stories260K-f32.gguf").file
    with pytest.raises(InputError, match="another model"):
        Session(other).load(path)
    other = fake()
    other.cache.kv_type = "q8_0"
    with pytest.raises(InputError, match="saved with a 'f16' cache"):
        Session(other).load(path)
    with pytest.raises(InputError, match=r"cannot read .*: no such file"):
        session.load(tmp_path / "none")
    with pytest.raises(InputError, match="cannot write"):
        session.save(tmp_path / "no" / "folder")
    assert session.tokens == [1, 2, 3]


def test_load_survives_any_bytes(fake, tmp_path: Path) -> None:
    """Every truncation and every changed byte is one sentence, and changes nothing."""
    path, bad = tmp_path / "s", tmp_path / "bad"
    session = Session(fake())
    session.eval([1, 2, 3])
    session.save(path)
    good = path.read_bytes()
    rng = random.Random(0)
    cases = [good[:n] for n in range(len(good))] + [good + b"\0"]
    for position in range(len(good)):
        flipped = bytes([good[position] ^ rng.randrange(1, 256)])
        cases.append(good[:position] + flipped + good[position + 1 :])
    huge = HEADER.unpack(good[: HEADER.size])
    cases.append(HEADER.pack(*huge[:4], 2**61, 2**63, huge[-1]))
    for case in cases:
        bad.write_bytes(case)
        with pytest.raises(ZigllmError) as caught:
            session.load(bad)
        assert str(bad) in str(caught.value)
    assert session.tokens == [1, 2, 3]


def test_the_state_must_fit_the_cache(fake, tmp_path: Path) -> None:
    runner = fake()
    runner.state = lambda _: b"other"
    session = Session(runner)
    session.eval([1])
    session.save(tmp_path / "s")
    with pytest.raises(InputError, match="does not fit the engine as it was opened: the state is"):
        session.load(tmp_path / "s")
    assert session.tokens == runner.slots[0] == []


def test_fingerprints_tell_models_apart(kit: Path) -> None:
    files = sorted((kit / "real").glob("*.gguf"))
    prints = {fingerprint(zigllm_cli.open_gguf(path)) for path in files}
    assert len(prints) == len(files) > 5
    assert fingerprint(zigllm_cli.open_gguf(files[0])) in prints
