"""`quantize` against ggml's own encoders, by their recorded bytes; and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants import dequantize, quantize
from zigllm_cli.quants.encoders import FAMILY_OF, WEIGHTS_IGNORED

TYPES = [*FAMILY_OF, "F16", "BF16"]
QUICK = ("Q4_0", "Q8_0", "TQ2_0", "MXFP4", "IQ4_NL", "Q6_K")
"""A few that compile fast, for properties that hold for all."""


@pytest.mark.parametrize("name", TYPES)
def test_recorded_bytes(kit: Path, name: str) -> None:
    for file in ("random", "stories260K", "random_imatrix"):
        given = np.load(kit / "quant" / f"{file}.npz")
        importance = given["imatrix"] if "imatrix" in given.files else None
        found = quantize(given["input"], name, importance)
        expected = given[f"{name}_bytes"].view(np.uint8).reshape(found.shape)
        wrong = np.flatnonzero((found != expected).any(axis=1))
        assert not wrong.size, f"{file}: rows {wrong[:5]} of {len(found)}"


@pytest.mark.parametrize("name", QUICK)
def test_rows_do_not_depend_on_their_neighbours(name: str) -> None:
    """Sixteen blocks are encoded at once, wherever rows end: no block may see another."""
    block = tensor_type(name).block_size
    rng = np.random.default_rng(block)
    for columns in (block, 3 * block, 17 * block):
        values = rng.normal(size=(7, columns)).astype(np.float32)
        importance = rng.uniform(0.1, 2, columns).astype(np.float32)
        for given in (None, importance):
            whole = quantize(values, name, given)
            parts = [quantize(values[i : i + 1], name, given) for i in range(7)]
            assert whole.tobytes() == np.concatenate(parts).tobytes()


@pytest.mark.parametrize("name", QUICK)
def test_decoding_comes_back(name: str) -> None:
    """Values that a type can hold are kept: encoding decoded blocks changes little or nothing."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(4, 512)).astype(np.float32)
    once = dequantize(quantize(values, name), name, 512)
    twice = dequantize(quantize(once, name), name, 512)
    assert np.abs(twice - once).max() <= 0.1 * np.abs(values - once).max()


def test_importance_moves_the_error() -> None:
    """What matters more is met better."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(64, 256)).astype(np.float32)
    importance = np.where(np.arange(256) % 4 == 0, 100, 1).astype(np.float32)

    def error(given: np.ndarray | None) -> float:
        decoded = dequantize(quantize(values, "Q4_0", given), "Q4_0", 256)
        return float((importance * (decoded - values) ** 2).sum())

    assert error(importance) < 0.8 * error(None)


@pytest.mark.parametrize("name", ["Q8_0", "MXFP4"])
def test_ignored_importance(name: str) -> None:
    assert name in WEIGHTS_IGNORED
    values = np.random.default_rng(1).normal(size=(2, 64)).astype(np.float32)
    assert (quantize(values, name) == quantize(values, name, np.ones(64, np.float32))).all()


def test_no_rows() -> None:
    assert quantize(np.zeros((0, 64), np.float32), "Q8_0").shape == (0, 68)
    assert quantize(np.zeros((3, 0), np.float32), "Q8_0").shape == (3, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(bad: float) -> None:
    values = np.zeros((3, 64), np.float32)
    values[2, 63] = bad
    with pytest.raises(InputError, match="infinite or not a number"):
        quantize(values, "Q8_0")


def test_too_large_for_a_half_float() -> None:
    values = np.full((1, 32), 1e9, np.float32)
    with pytest.raises(InputError, match="too large for Q8_0"):
        quantize(values, "Q8_0")
    assert quantize(values / 1e5, "Q8_0").any()


def test_refusals() -> None:
    values = np.zeros((2, 48), np.float32)
    with pytest.raises(InputError, match="rows of 48 values cannot be Q4_0"):
        quantize(values, "Q4_0")
    with pytest.raises(UnsupportedError, match="cannot be encoded as I32"):
        quantize(values, "I32")
    with pytest.raises(InputError, match="does not fit rows of 32"):
        quantize(values[:, :32], "Q4_0", np.ones(31, np.float32))
    with pytest.raises(InputError, match="not finite"):
        quantize(values[:, :32], "Q4_0", np.full(32, np.nan, np.float32))
