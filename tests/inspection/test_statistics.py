"""Statistics against numpy in 64 bits over the whole tensor at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.inspection import values
from zigllm_cli.inspection.statistics import BINS, statistics
from zigllm_cli.inspection.values import chunks


def whole(tensor: Any) -> np.ndarray:
    return np.concatenate(list(chunks(tensor)))


@pytest.mark.parametrize("scale", [0.1, 1e-20, 1e20])
@pytest.mark.parametrize("chunk", [256, 1024, 1 << 20])
def test_moments(build: Any, monkeypatch: pytest.MonkeyPatch, scale: float, chunk: int) -> None:
    rng = np.random.default_rng(1)
    data = (rng.normal(1000, 1, (77, 96)) * scale).astype(np.float32)
    data[5, :9] = 0
    monkeypatch.setattr(values, "CHUNK", chunk)
    tensor = open_gguf(build({}, {"x.weight": data})).tensors["x.weight"]
    found, exact = statistics(tensor), data.astype(np.float64)
    assert found.count == data.size
    assert (found.minimum, found.maximum) == (exact.min(), exact.max())
    assert found.mean == pytest.approx(exact.mean(), rel=1e-14)
    assert found.std == pytest.approx(exact.std(), rel=1e-12)
    assert found.rms == pytest.approx(np.sqrt((exact**2).mean()), rel=1e-12)
    assert found.zeros == 9
    assert found.first == tuple(data.reshape(-1)[:8].tolist())


def test_histogram_is_numpys(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "CHUNK", 512)
    data = np.random.default_rng(2).normal(0, 1, (64, 64)).astype(np.float32)
    found = statistics(open_gguf(build({}, {"x.weight": data})).tensors["x.weight"])
    assert found.histogram is not None
    low, high = found.histogram.low, found.histogram.high
    assert (low, high) == (data.min(), data.max())
    expected = np.histogram(data.astype(np.float64), BINS, (low, high))[0]
    assert found.histogram.counts == tuple(expected)
    assert sum(found.histogram.counts) == data.size


def test_outliers_are_counted_beside_the_histogram(build: Any) -> None:
    data = np.random.default_rng(3).normal(0, 1, (100, 128)).astype(np.float32)
    data[0, 0], data[1, 0], data[2, 0] = 1e4, -1e4, 2e4
    chart = statistics(open_gguf(build({}, {"x.weight": data})).tensors["x.weight"]).histogram
    assert chart is not None
    assert (chart.below, chart.above) == (1, 2)
    assert sum(chart.counts) + 3 == data.size


def test_values_that_are_not_finite_are_counted_and_left_out(build: Any) -> None:
    data = np.array([[1, np.nan, np.inf, -np.inf], [3, np.nan, 0, 2]], np.float32)
    found = statistics(open_gguf(build({}, {"x.weight": data})).tensors["x.weight"])
    assert (found.nan, found.positive_infinity, found.negative_infinity) == (2, 1, 1)
    assert (found.minimum, found.maximum, found.mean, found.zeros) == (0, 3, 1.5, 1)
    assert found.std == pytest.approx(np.std([1, 3, 0, 2]))


@pytest.mark.parametrize(
    "data",
    [
        np.full((2, 3), np.nan, np.float32),
        np.zeros((0,), np.float32),
    ],
)
def test_nothing_finite(build: Any, data: np.ndarray) -> None:
    found = statistics(open_gguf(build({}, {"x": data})).tensors["x"])
    assert (found.minimum, found.mean, found.std, found.histogram) == (None, None, None, None)


@pytest.mark.parametrize("value", [1.0, 0.0, 3e38])
def test_one_value_everywhere(build: Any, value: float) -> None:
    found = statistics(open_gguf(build({}, {"x": np.full(99, value, np.float32)})).tensors["x"])
    assert found.std == 0
    assert found.histogram is not None
    assert found.histogram.counts == (99,)


def test_neighbouring_floats_do_not_break_the_histogram(build: Any) -> None:
    data = np.array([1.0, np.nextafter(1.0, 2.0)], np.float64)
    found = statistics(open_gguf(build({}, {"x": data})).tensors["x"])
    assert found.histogram is not None
    assert found.histogram.counts == (2,)


@pytest.mark.parametrize("dtype", ["f4", "f2", "f8", "i1", "i2", "i4", "i8"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_plain_types_of_both_byte_orders(build: Any, dtype: str, big_endian: bool) -> None:
    data = np.arange(-50, 50, dtype=dtype).reshape(10, 10)
    path = build({}, {"x": data}, big_endian=big_endian)
    tensor = open_gguf(path).tensors["x"]
    assert tensor.header.byte_order == (">" if big_endian else "<")
    np.testing.assert_array_equal(whole(tensor), data.reshape(-1))


@pytest.mark.parametrize("big_endian", [False, True])
def test_bf16(build: Any, big_endian: bool) -> None:
    floats = np.array([1.0, -2.5, 3e38, 1e-30], np.float32)
    high = (floats.view(np.uint32) >> 16).astype(np.uint16)
    raw = high.byteswap() if big_endian else high
    path = build({}, {"x": (raw.view(np.int16), "BF16")})
    if big_endian:  # the package swaps nothing in raw types: write the file's order by hand
        path = build({}, {"x": (high.view(np.int16), "BF16")}, big_endian=True)
    expected = (high.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(whole(open_gguf(path).tensors["x"]), expected)


def test_quantised_types_are_those_of_the_gguf_package(kit: Path) -> None:
    path = kit / "models" / "llama-k256" / "model-Q4_K_M.gguf"
    reader = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    for name, tensor in open_gguf(path).tensors.items():
        other = reader[name]
        expected = gguf.quants.dequantize(other.data, other.tensor_type)
        np.testing.assert_allclose(whole(tensor), expected.reshape(-1), rtol=1e-6)


def test_long_rows_are_cut_at_blocks(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kit / "models" / "llama-k256" / "model-Q6_K.gguf"
    tensor = open_gguf(path).tensors["blk.0.attn_q.weight"]
    expected = whole(tensor)
    for chunk in (256, 512, 1 << 12):
        monkeypatch.setattr(values, "CHUNK", chunk)
        pieces = list(chunks(tensor))
        assert max(piece.size for piece in pieces) <= chunk
        np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_block_types_in_big_endian_files_are_refused(build: Any) -> None:
    raw = np.zeros((2, 18), np.uint8)
    path = build({}, {"x.weight": (raw, "Q4_0")}, big_endian=True)
    with pytest.raises(UnsupportedError, match=r"'x.weight' is Q4_0 in a big-endian file; only"):
        list(chunks(open_gguf(path).tensors["x.weight"]))


def test_progress_adds_up(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "CHUNK", 256)
    data = np.random.default_rng(4).normal(0, 1, (64, 64)).astype(np.float32)
    steps: list[int] = []
    statistics(open_gguf(build({}, {"x": data})).tensors["x"], steps.append)
    assert sum(steps) == 2 * data.nbytes
