"""The Python API and sessions over the real engine, with a real model of the kit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import zigllm_cli
from zigllm_cli.engine.batching import Batching
from zigllm_cli.engine.generation import Continuation
from zigllm_cli.engine.session import Session, eval_together
from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.model import SEQUENCES, Model
from zigllm_cli.sampling import Sampling


@pytest.fixture(scope="module")
def path(kit: Path) -> Path:
    return kit / "real" / "stories260K-f32.gguf"


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    return zigllm_cli.load(path)


@pytest.fixture(scope="module")
def ids(kit: Path) -> list[int]:
    return json.loads((kit / "real/token_ids.json").read_text())["story.txt"][:200]


def test_generate(model: Model, kit: Path) -> None:
    facts = json.loads((kit / "real/greedy.json").read_text())
    expected = facts["greedy"]["f32"]
    generation = model.generate("Once upon a time", max_tokens=200, temperature=0)
    assert "".join(generation) == generation.text == expected["text"]
    assert (generation.ids, generation.finish_reason) == (expected["ids"], "length")
    by_ids = model.generate(facts["prompt_ids"], max_tokens=9, temperature=0, stop=".")
    assert expected["text"].startswith("".join(by_ids))


def test_seeds_and_threads(path: Path, model: Model) -> None:
    def text(model: Model, seed: int) -> str:
        return "".join(model.generate("One day", max_tokens=50, temperature=1.3, seed=seed))

    assert text(model, 1) == text(model, 1) != text(model, 2)
    assert text(zigllm_cli.load(path, threads=1), 1) == text(zigllm_cli.load(path, threads=2), 1)


def test_logits(model: Model, kit: Path) -> None:
    data = np.load(kit / "real/stories260K-f32-logits.npz")
    logits = model.logits(data["tokens"])
    assert (logits.dtype, logits.shape) == (np.float32, data["logits_hf"].shape)
    np.testing.assert_allclose(logits, data["logits_llamacpp"], atol=2e-4)
    np.testing.assert_array_equal(model.logits(data["tokens"].tolist()), logits)
    np.testing.assert_allclose(model.logits(data["tokens"][:7]), logits[:7], atol=2e-4)


def test_logits_refuses(model: Model, path: Path) -> None:
    with pytest.raises(UsageError, match="token id 512 is outside"):
        model.logits([1, 512])
    with pytest.raises(UsageError, match="0 tokens were given"):
        model.logits([])
    with pytest.raises(UsageError, match="9 tokens were given, but must be from 1 to 8"):
        zigllm_cli.load(path, ctx=8).logits([1] * 9)
    with pytest.raises(UsageError, match="threads is 0"):
        zigllm_cli.load(path, threads=0)


def test_session_in_pieces(model: Model, ids: list[int]) -> None:
    whole = model.session().eval(ids)
    session = model.session()
    for start, stop in ((0, 1), (1, 4), (4, 100), (100, 101), (101, 200)):
        row = session.eval(ids[start:stop])
    np.testing.assert_allclose(row, whole, atol=0.02)  # keys and values are kept in f16
    session.truncate(150)
    session.eval([3, 5, 7])
    assert session.reuse(ids) == 150
    np.testing.assert_allclose(session.eval(ids[150:]), whole, atol=0.02)


def test_fork_and_slots(model: Model, ids: list[int]) -> None:
    first = model.session(64)
    first.eval(ids[:20])
    second = first.fork()
    third = second.fork()
    third.eval(ids[30:40])
    np.testing.assert_array_equal(first.eval(ids[20:25]), second.eval(ids[20:25]))
    others = [model.session(64) for _ in range(SEQUENCES - 3)]
    with pytest.raises(UsageError, match="no free sequence"):
        model.session(64)
    with pytest.raises(UsageError, match="no free sequence"):
        others[0].fork()
    for session in (first, second, third, *others):
        session.close()


@pytest.mark.parametrize("kv_type", ["f16", "f32", "q8_0"])
def test_save_and_resume(path: Path, ids: list[int], kv_type: str, tmp_path: Path) -> None:
    file = tmp_path / "story.session"
    session = zigllm_cli.load(path, kv_type=kv_type).session()
    session.eval(ids[:50])
    session.save(file)
    resumed = zigllm_cli.load(path, kv_type=kv_type).session()
    resumed.load(file)
    assert resumed.tokens == ids[:50]
    np.testing.assert_array_equal(resumed.eval(ids[50:52]), session.eval(ids[50:52]))
    other = zigllm_cli.load(path, kv_type="f32" if kv_type == "f16" else "f16").session()
    with pytest.raises(InputError, match=f"saved with a {kv_type!r} cache"):
        other.load(file)


def test_shift_is_a_text_with_less_in_front(model: Model, ids: list[int]) -> None:
    """Keys of later layers know what was forgotten, so this is close, not equal."""
    session = model.session(64)
    session.eval(ids[:60])
    session.shift(4, 28)
    assert session.tokens == ids[:4] + ids[32:60]
    shifted = session.eval(ids[60:61])
    fresh = model.session(64)
    expected = fresh.eval(ids[:4] + ids[32:61])
    assert np.corrcoef(shifted, expected)[0, 1] > 0.9
    session.close()
    fresh.close()


def test_together_is_exactly_alone(model: Model, ids: list[int]) -> None:
    """Bit for bit, whatever number of sequences decode together: nothing else keeps texts equal."""
    runner = model.runner(64, sequences=7)
    sessions = [Session(runner, slot) for slot in range(7)]
    for start, session in enumerate(sessions):
        session.eval(ids[start : start + 9 + start])
    lengths = list(map(len, sessions))
    alone = np.stack([session.eval([5]) for session in sessions])
    for count in (2, 3, 4, 7):
        for session, length in zip(sessions, lengths, strict=True):
            session.truncate(length)
        np.testing.assert_array_equal(eval_together(sessions[:count], [5] * count), alone[:count])


def test_batches_are_as_single_runs(model: Model) -> None:
    def make(seed: int) -> Continuation:
        prompt = model.prompt_ids(("One day", "Once upon a time", "A")[seed % 3])
        chain = Sampling(temperature=1.5, seed=seed).chain()
        return Continuation(model.tokenizer, chain, prompt, max_tokens=30 + seed)

    runner = model.runner(256, sequences=5)
    together = list(Batching(runner).run(make(seed) for seed in range(12)))
    alone = [next(Batching(model.runner(256)).run([make(seed)])) for seed in range(12)]
    assert [text.text for text in together] == [text.text for text in alone]
