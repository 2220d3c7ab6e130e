"""Base logits: the format by an independent reader and writer, and comparisons with it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from zigllm_cli.errors import InputError
from zigllm_cli.evaluate.base_logits import BaseLogits, BaseLogitsWriter, decode, encode
from zigllm_cli.evaluate.evaluator import Contender, evaluate
from zigllm_cli.evaluate.text import TokenStream
from zigllm_cli.evaluate.totals import Comparison, Totals
from zigllm_cli.evaluate.windows import Window, Windowing
from zigllm_cli.model import Model


def slow_row(logits: np.ndarray) -> bytes:
    """One row, value by value, as the format's description has it."""
    wide = logits.astype(np.float64)
    top, low = wide.max(), max(wide.min(), wide.max() - 16)
    total = np.log(np.exp(wide - top).sum())
    scale = (top - low) / 65535
    codes = [round((value - low) / scale) if value > low else 0 for value in wide]
    codes += [0] * (len(codes) % 2)
    return struct.pack("<2f", scale, low - top - total) + struct.pack(f"<{len(codes)}H", *codes)


@pytest.mark.parametrize("vocabulary", [2, 5, 384, 999])
def test_rows(vocabulary: int) -> None:
    rng = np.random.default_rng(vocabulary)
    logits = (rng.standard_normal((6, vocabulary)) * 7).astype(np.float32)
    top = logits.max(1).astype(np.float64)
    sums = top + np.log(np.exp(logits - top[:, None]).sum(1))
    rows = encode(logits, sums)
    slow = np.array([np.frombuffer(slow_row(row), "<u2") for row in logits])
    assert rows.shape == slow.shape
    np.testing.assert_allclose(rows[:, 4:].astype(int), slow[:, 4:].astype(int), atol=1)
    scales = [np.ascontiguousarray(x[:, :4]).view("<f4") for x in (rows, slow)]
    np.testing.assert_allclose(scales[0], scales[1], rtol=1e-6)
    wanted = np.maximum(logits, (top - 16)[:, None]) - sums[:, None]
    np.testing.assert_allclose(decode(rows, vocabulary), wanted, atol=16 / 65535)


def test_constant_rows() -> None:
    rows = encode(np.full((1, 3), 2, np.float32), np.array([2 + np.log(3)]))
    np.testing.assert_allclose(decode(rows, 3), -np.log(3), rtol=1e-6)


@pytest.fixture(scope="module")
def windows(small: Model, text: str) -> list[Window]:
    stream = TokenStream(small.tokenizer, io.BytesIO(text.encode()))
    return list(Windowing.chunks(48).windows(stream, small.tokenizer.prefix[0], 5))


@pytest.fixture(scope="module")
def saved(small: Model, windows: list[Window], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logits") / "base.logits"
    contender = Contender(small, 48)
    with path.open("wb") as file:
        writer = BaseLogitsWriter(file, windows, contender.vocabulary)
        for _ in evaluate(windows, [contender], listen=writer.listener):
            pass
    return path


def test_a_file(small: Model, windows: list[Window], saved: Path) -> None:
    data = saved.read_bytes()
    assert data[:8] == b"_logits_"
    assert struct.unpack("<3i", data[8:20]) == (48, 384, 5)
    ids = np.frombuffer(data, "<i4", 5 * 48, 20).reshape(5, 48)
    assert [tuple(row) for row in ids.tolist()] == [window.text_tokens for window in windows]
    assert len(data) == 20 + 4 * 240 + 5 * 23 * 2 * (384 + 4)
    rows = np.frombuffer(data, "<u2", offset=20 + 960).reshape(5, 23, 388)
    contender = Contender(small, 48)
    (chunk,) = next(evaluate(windows[:1], [contender], keep_tokens=True))
    assert chunk.tokens is not None
    found = decode(rows[0], 384)[np.arange(23), list(windows[0].targets)]
    np.testing.assert_allclose(found, chunk.tokens.log_probs, atol=2e-4)


def test_comparison_with_a_file(small: Model, windows: list[Window], saved: Path) -> None:
    base = BaseLogits(saved)
    assert list(base.windows(small.tokenizer.prefix[0])) == windows
    contender, totals = Contender(small, 48), Totals()
    for (chunk,) in evaluate(windows, [contender], base):
        totals.add(chunk)
    found = Comparison.of(totals)
    assert abs(found.kld[0]) < 1e-5
    assert found.same_top[0] > 0.97
    assert found.base_perplexity[0] == pytest.approx(totals.perplexity[0], rel=1e-4)


def test_damaged_files(saved: Path, tmp_path: Path) -> None:
    data, path = saved.read_bytes(), tmp_path / "bad"
    for wrong, words in (
        (b"", "no file of base logits"),
        (b"GGUF" + data[4:], "no file of base logits"),
        (data[:-1], "truncated"),
        (data + b"x", "truncated"),
        (data[:8] + struct.pack("<3i", -1, 384, 5) + data[20:], "damaged"),
        (data[:8] + struct.pack("<3i", 48, 1 << 30, 1 << 30) + data[20:], "truncated"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match=words):
            BaseLogits(path)
    path.write_bytes(data[:20] + struct.pack("<i", 384) + data[24:])
    with pytest.raises(InputError, match="no real tokens"):
        list(BaseLogits(path).windows(None))
    with pytest.raises(InputError, match="cannot read"):
        BaseLogits(tmp_path / "none")
