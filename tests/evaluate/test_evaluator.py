"""Figures of chunks against float64, against llama-perplexity's, and in any company."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from random_model import RANDOM

import zigllm_cli
from zigllm_cli.errors import InputError, ZigllmError
from zigllm_cli.evaluate.chunks import Chunk
from zigllm_cli.evaluate.evaluator import Contender, evaluate
from zigllm_cli.evaluate.text import TokenStream
from zigllm_cli.evaluate.totals import Comparison, Totals
from zigllm_cli.evaluate.windows import Window, Windowing
from zigllm_cli.model import Model

LogProbs = Callable[[Model, list[int]], np.ndarray]

TEXT = "wikitext2-test-32k.txt"
TOLERANCES = {"f32": 2e-4, "F16": 1e-3, "BF16": 3e-3}
QUANTISED = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")


def windows_of(model: Model, text: bytes, windowing: Windowing) -> list[Window]:
    tokenizer = model.tokenizer
    bos = tokenizer.prefix[0] if tokenizer.prefix else None
    return list(windowing.windows(TokenStream(tokenizer, io.BytesIO(text)), bos))


def chunks_of(model: Model, windows: Iterable[Window], length: int) -> list[Chunk]:
    contender = Contender(model, length)
    chunks = [chunk for (chunk,) in evaluate(windows, [contender], keep_tokens=True)]
    contender.close()
    return chunks


def total(chunks: Iterable[Chunk]) -> Totals:
    totals = Totals()
    for chunk in chunks:
        totals.add(chunk)
    return totals


@pytest.fixture(scope="module")
def exact() -> Model:
    """The built-in model with a float32 cache, as `Model.logits` has it."""
    return zigllm_cli.load(RANDOM, threads=1, kv_type="f32")


@pytest.mark.parametrize(
    "windowing",
    [
        Windowing.chunks(64),
        Windowing.chunks(8),
        Windowing.strided(50, 20),
        Windowing.sliding(40, 9),
    ],
    ids=lambda windowing: windowing.name,
)
def test_against_float64(
    exact: Model, text: str, log_probs_of: LogProbs, windowing: Windowing
) -> None:
    windows = windows_of(exact, text.encode()[:1200], windowing)
    chunks = chunks_of(exact, windows, windowing.length)
    logs = []
    for window, chunk in zip(windows, chunks, strict=True):
        wanted = log_probs_of(exact, list(window.tokens))[window.scored - 1 :]
        assert chunk.tokens is not None
        np.testing.assert_allclose(chunk.tokens.log_probs, wanted, atol=2e-5)
        assert chunk.tokens.tokens.tolist() == list(window.targets)
        assert chunk.nll == pytest.approx(-wanted.sum(), rel=1e-6)
        logs += wanted.tolist()
    totals, nll = total(chunks), -np.array(logs)
    assert totals.perplexity[0] == pytest.approx(exp(nll.mean()), rel=1e-5)
    wanted_error = totals.perplexity[0] * np.sqrt(nll.var() / (len(nll) - 1))
    assert totals.perplexity[1] == pytest.approx(wanted_error, rel=1e-4)
    assert totals.bits_per_token == pytest.approx(nll.mean() / log(2), rel=1e-5)


def test_bytes_and_characters(exact: Model, text: str) -> None:
    windows = windows_of(exact, text.encode(), Windowing.sliding(200, 50))
    totals = total(chunks_of(exact, windows, 200))
    scored = exact.tokenizer.decode(windows_targets(windows))
    assert totals.bytes == pytest.approx(len(scored.encode()), abs=4)
    assert totals.characters == pytest.approx(len(scored), abs=4)
    assert totals.characters < totals.bytes


def windows_targets(windows: Iterable[Window]) -> list[int]:
    return [token for window in windows for token in window.targets]


@pytest.mark.parametrize("length", [20, 64, 120, 256])
def test_company_and_threads_do_not_matter(text: str, length: int) -> None:
    found = []
    for threads, alone in ((1, False), (2, True), (3, False)):
        model = zigllm_cli.load(RANDOM, threads=threads)
        windows = windows_of(model, text.encode(), Windowing.chunks(length))[:9]
        if alone:
            contender = Contender(model, length)
            chunks = [c for w in windows for (c,) in evaluate([w], [contender], keep_tokens=True)]
            contender.close()
        else:
            chunks = chunks_of(model, windows, length)
        found.append(chunks)
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert (one.nll, one.nll_squared, one.checksum) == (
                other.nll,
                other.nll_squared,
                other.checksum,
            )


@pytest.fixture(scope="module")
def of_the_kit(real: Path) -> dict[str, Totals]:
    """Every type of the kit's model on its larger text, beside the F32 file."""
    names = [*TOLERANCES, *QUANTISED]
    models = [zigllm_cli.load(real / f"stories260K-{name}.gguf", threads=1) for name in names]
    windows = windows_of(models[0], (real / TEXT).read_bytes(), Windowing.chunks(256))
    contenders = [Contender(model, 256) for model in models]
    found = {name: Totals() for name in names}
    for chunks in evaluate(windows, contenders, contenders[0]):
        for totals, chunk in zip(found.values(), chunks, strict=True):
            totals.add(chunk)
    return found


@pytest.mark.parametrize("name", [*TOLERANCES, *QUANTISED])
def test_perplexities_of_the_kit(of_the_kit: dict[str, Totals], real: Path, name: str) -> None:
    totals = of_the_kit[name]
    results = json.loads((real / "perplexity.json").read_text())["results"]
    known = [r for r in results if r["model"] == f"stories260K-{name}.gguf" and r["text"] == TEXT]
    native = next(r for r in known if r["weights"] == "native" and r["kv_cache"] == "f16")
    exact = next((r for r in known if r["weights"] == "dequantised"), native)
    value, error = totals.perplexity
    assert totals.chunks == native["chunks"]
    assert error == pytest.approx(native["stderr"], rel=0.02)
    distance = abs(value / native["ppl"] - 1)
    closer = abs(value - exact["ppl"]) <= abs(native["ppl"] - exact["ppl"])
    assert distance < TOLERANCES.get(name, 1e-2) or closer


@pytest.mark.parametrize("name", ["f32", *QUANTISED])
def test_divergences_of_the_kit(of_the_kit: dict[str, Totals], real: Path, name: str) -> None:
    found = Comparison.of(of_the_kit[name])
    if name == "f32":
        assert (found.kld, found.same_top, found.rms_dp) == ((0, 0), (1, 0), (0, 0))
        assert found.ratio[0] == 1
        assert (found.klds == 0).all()
        return
    known = json.loads((real / "kld.json").read_text())[TEXT][name]
    native, exact = known["native"], known["exact"]
    assert 0.97 * exact["mean_kld"][0] <= found.kld[0] <= 1.05 * native["mean_kld"][0]
    assert found.kld[1] == pytest.approx(native["mean_kld"][1], rel=0.1)
    assert 100 * found.same_top[0] == pytest.approx(native["same_top_percent"][0], abs=1)
    assert 100 * found.rms_dp[0] == pytest.approx(native["rms_dp_percent"][0], rel=0.05)


def test_another_engine_with_the_same_model_is_no_further_away(small: Model, text: str) -> None:
    windows = windows_of(small, text.encode(), Windowing.chunks(64))[:4]
    contender, base = Contender(small, 64), Contender(zigllm_cli.load(RANDOM, threads=1), 64)
    totals = total(chunk for (chunk,) in evaluate(windows, [contender], base))
    assert Comparison.of(totals).kld == (0, 0)


def test_vocabularies_must_agree(real: Path, small: Model) -> None:
    other = Contender(zigllm_cli.load(real / "stories260K-f32.gguf"), 64)
    contender = Contender(small, 64)
    with pytest.raises(InputError, match=r"vocabulary of 384.*one of 512"):
        list(evaluate([], [contender], other))


def test_broken_models_are_refused(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    contender = Contender(small, 64)
    broken = np.full((31, contender.vocabulary), np.nan, np.float32)
    monkeypatch.setattr(contender.runner, "step_in_place", lambda batch: broken)
    window = Window(4, 0, tuple(range(3, 67)), 33, 3)
    with pytest.raises(ZigllmError, match="not finite in chunk 5"):
        list(evaluate([window], [contender]))
