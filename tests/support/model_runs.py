"""Models run in tests: steps of any size, references of the kit, and how far results are apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.runner import Runner
from zigllm_cli.gguf import open_gguf

TOLERANCE = 2e-5
"""Of the largest logit: engines agree to 1e-6; a norm epsilon of 1e-6 for 1e-5 shows as 5e-5."""

GELU_TOLERANCE = 1e-3
"""Against llama.cpp, which looks GELU up in a table of half floats."""

Floats = NDArray[Any]


@contextmanager
def runner(path: Path, **options: Any) -> Iterator[Runner]:
    """An engine with a float32 cache, closed behind its use."""
    settings = {"threads": 2, "context": 256, "kv_type": "f32", **options}
    with closing(Runner(open_gguf(path), **settings)) as run:
        yield run


def logits(run: Runner, tokens: Sequence[int], piece: int, slot: int = 0) -> Floats:
    """Logits of all positions, `piece` tokens at a time."""
    run.truncate(slot, 0)
    results = []
    for start in range(0, len(tokens), piece):
        part = tokens[start : start + piece]
        results.append(run.step(Batch.of(part, start, slot, range(len(part)))))
    return np.concatenate(results)


def interleaved(run: Runner, tokens: list[int], piece: int, slot: int, other: int) -> Floats:
    """`logits`, with every step shared with another sequence's tokens, which come first."""
    run.truncate(slot, 0)
    run.truncate(other, 0)
    results = []
    for start in range(0, len(tokens), piece):
        part, noise = tokens[start : start + piece], tokens[::-1][start : start + piece]
        count = len(part)
        places = list(range(start, start + count))
        slots, wanted = [other] * count + [slot] * count, list(range(count, 2 * count))
        results.append(run.step(Batch(noise + part, places * 2, slots, wanted)))
    return np.concatenate(results)


def all_at_once(texts: Sequence[Sequence[int]]) -> Batch:
    """Whole texts, each in a slot of its own; all rows are wanted."""
    tokens = [token for text in texts for token in text]
    places = [position for text in texts for position in range(len(text))]
    slots = [slot for slot, text in enumerate(texts) for _ in text]
    return Batch(tokens, places, slots, list(range(len(tokens))))


def greedy(run: Runner, prompt: Sequence[int], count: int) -> list[int]:
    """The likeliest continuation."""
    run.truncate(0, 0)
    row = run.step(Batch.of(prompt, 0, 0))[0]
    ids: list[int] = []
    while True:
        ids.append(int(row.argmax()))
        if len(ids) == count:
            return ids
        row = run.step(Batch.of(ids[-1:], len(prompt) + len(ids) - 1, 0))[0]


def distance(mine: Floats, reference: Floats) -> float:
    """Largest difference, relative to the largest logit."""
    return float(np.abs(mine - reference).max() / np.abs(reference).max())


def nmse(mine: Floats, reference: Floats) -> float:
    """Squared error over the reference's energy."""
    return float(((mine - reference) ** 2).sum() / (reference**2).sum())


@dataclass(frozen=True)
class Reference:
    """What other engines say about a model.

    Attributes:
        answers: logits of each engine at `positions`.
    """

    tokens: list[int]
    positions: Any
    answers: dict[str, Floats]


MADE = Path(__file__).parents[1] / "data/families"
"""Models made for these tests, by its `make.py`: each NAME.gguf with answers in NAME.npz."""


def made(name: str) -> Reference:
    """The answers about one of the models made for these tests."""
    data = np.load(MADE / f"{name}.npz")
    answers = {engine: data[engine] for engine in ("llamacpp", "hf") if engine in data}
    return Reference(data["tokens"].tolist(), slice(None), answers)


def reference(folder: Path, *, long: bool = False) -> Reference:
    """The answers that stand in the `reference.npz` of a model of the kit."""
    data = np.load(folder / "reference.npz")
    end = "_long" if long else ""
    answers = {}
    for engine in ("llamacpp", "hf"):
        # mistral's file carries no window, so Hugging Face's answer with one is not comparable
        names = (f"logits_{engine}{end}_nowindow", f"logits_{engine}{end}")
        name = next((name for name in names if name in data), None)
        if name is not None:
            answers[engine] = data[name]
    tokens = [int(token) for token in data["tokens" + end]]
    return Reference(tokens, data["long_positions"] if long else slice(None), answers)
