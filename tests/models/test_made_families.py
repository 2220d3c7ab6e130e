"""The families that the kit has no model of, against both engines; models made by `make.py`."""

from __future__ import annotations

import pytest
from model_runs import (
    MADE,
    TOLERANCE,
    all_at_once,
    distance,
    interleaved,
    logits,
    made,
    runner,
)

from zigllm_cli.gguf import open_gguf
from zigllm_cli.models import architecture
from zigllm_cli.plan.interpreter import Interpreter

MODELS = sorted(path.stem for path in MADE.glob("*.npz"))
DECODERS = [name for name in MODELS if name != "nomic-bert"]
TRANSFORMERS_ALONE = ("command-r-plus", "deepseek2-lite", "exaone4-local", "gpt-oss-yarn")


@pytest.mark.parametrize("model", MODELS)
def test_the_interpreter_agrees(model: str) -> None:
    known = made(model)
    assert len(known.answers) == 2 or model in TRANSFORMERS_ALONE
    plan = architecture(open_gguf(MADE / f"{model}.gguf")).plan(256)
    mine = Interpreter(plan).logits(known.tokens)
    for expected in known.answers.values():
        assert distance(mine, expected) <= TOLERANCE


@pytest.mark.parametrize("model", DECODERS)
def test_in_every_cut(model: str) -> None:
    """In one batch, in pieces, token by token, and batched with another sequence."""
    known = made(model)
    with runner(MADE / f"{model}.gguf", sequences=3) as run:
        cuts = [logits(run, known.tokens, piece, slot=1) for piece in (len(known.tokens), 19, 1)]
        cuts.append(interleaved(run, known.tokens, 7, slot=2, other=1))
    for mine in cuts:
        for expected in known.answers.values():
            assert distance(mine, expected) <= TOLERANCE


def test_nomic_bert() -> None:
    known = made("nomic-bert")
    with runner(MADE / "nomic-bert.gguf", sequences=2, output="hidden") as run:
        both = run.step(all_at_once([known.tokens[::-1], known.tokens]))[len(known.tokens) :]
        run.truncate(0, 0)
        alone = run.step(all_at_once([known.tokens]))
    for expected in known.answers.values():
        assert distance(both, expected) <= TOLERANCE
        assert distance(alone, expected) <= TOLERANCE
