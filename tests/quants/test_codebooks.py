"""The code-book types against ggml's and the gguf package's decoders, on every instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants.grids import codes, levels, packed
from zigllm_cli.quants.layouts import LAYOUTS
from zigllm_cli.simd.isa import ISAS, host_features

TYPES = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
MULTIPLIED = ("IQ1_M", "IQ3_S")
"""One with two chains and one with one; a product takes seconds to compile."""

ROWS, VALUES = 19, 768
SETS = [isa.name for isa in ISAS if host_features().issuperset(isa.needs)]
Array = np.ndarray[Any, np.dtype[Any]]


def blocks(name: str, seed: int, rows: int = ROWS, largest: float | None = None) -> Array:
    """Random bytes with scales that are finite (of both signs, zero and subnormal ones too)."""
    rng = np.random.default_rng(seed)
    kind = tensor_type(name)
    count = rows * VALUES // kind.block_size
    data = rng.integers(0, 256, (count, kind.block_bytes), dtype=np.uint8)
    d = rng.integers(0, 0x7C00, count, dtype=np.uint16)
    d |= rng.integers(0, 2, count, dtype=np.uint16) << 15
    d[:2] = 0, 0x8001
    if largest:
        d = (rng.random(count) * largest).astype(np.float16).view(np.uint16)
    if name == "IQ1_M":  # d in the upper nibbles of the scales, the lowest nibble first
        scales = data[:, 48:56].copy().view(np.uint16)
        nibbles = d[:, None] >> np.array([0, 4, 8, 12], np.uint16) & 15
        data[:, 48:56] = (scales & 0x0FFF | nibbles << 12).view(np.uint8)
    else:
        data[:, :2] = d[:, None].view(np.uint8)
    return data.reshape(rows, -1)


def reference(name: str, data: Array) -> Array:
    """The gguf package's values."""
    values: Array = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name])
    return values


def rounded(x: Array) -> Array:
    """Activations as the kernels round them: groups of 32 to 127 steps of their largest."""
    groups = x.reshape(len(x), -1, 32)
    largest = np.abs(groups).max(axis=-1, keepdims=True)
    whole = np.rint(groups * (np.float32(127) / largest))
    values: Array = whole.astype(np.float64) * (largest / np.float32(127))
    return values.reshape(x.shape)


@pytest.fixture(scope="module")
def questions() -> dict[str, Array]:
    """Blocks of every type, and activations for some."""
    rng = np.random.default_rng(7)
    asked = {f"{name}_bytes": blocks(name, seed) for seed, name in enumerate(TYPES)}
    for name in MULTIPLIED:
        asked[f"{name}_bytes"][8:] = blocks(name, 99, ROWS - 8, largest=0.01)
        asked[f"{name}_x"] = rng.standard_normal((5, VALUES), np.float32)
    return asked


def run(asked: dict[str, Array], isa: str, folder: Path) -> dict[str, Array]:
    """The answers of `run_kernels.py` on an instruction set, from a cache of its own."""
    np.savez(folder / "in.npz", allow_pickle=False, **asked)
    script = Path(__file__).with_name("run_kernels.py")
    environment = os.environ | {"ZIGLLM_ISA": isa, "ZIGLLM_CACHE": str(folder / "cache")}
    command = [sys.executable, str(script), str(folder / "in.npz"), str(folder / "out.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "out.npz"))


@pytest.mark.parametrize("isa", SETS)
def test_values(isa: str, questions: dict[str, Array], tmp_path: Path) -> None:
    """The gguf package's values to the bit.

    The data's ends are fenced, so a load beyond a block ends the process.
    """
    asked = {key: data for key, data in questions.items() if key.endswith("_bytes")}
    answers = run(asked, isa, tmp_path)
    for name in TYPES:
        expected = reference(name, asked[f"{name}_bytes"])
        assert answers[f"{name}_values"].tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("isa", sorted({SETS[0], SETS[-1]}))
def test_products(isa: str, questions: dict[str, Array], tmp_path: Path) -> None:
    """Products of five tokens (taken as four and one) are those of the rounded activations."""
    names = [f"{name}_{what}" for name in MULTIPLIED for what in ("bytes", "x")]
    answers = run({name: questions[name] for name in names}, isa, tmp_path)
    for name in MULTIPLIED:
        weights = reference(name, questions[f"{name}_bytes"]).astype(np.float64)[8:]
        exact = rounded(questions[f"{name}_x"]) @ weights.T
        y = answers[f"{name}_y"]
        assert y[0].tobytes() == y[1].tobytes(), f"{name}: threads"
        error = np.abs(y[0, :, 8:] - exact).max() / np.abs(exact).max()
        assert error < 2e-6, f"{name}: {error}"


def test_kit(kit: Path, tmp_path: Path) -> None:
    """The kit's random bytes give ggml's floats where those are finite."""
    given = np.load(kit / "quant" / "random_bytes.npz")
    answers = run({f"{n}_bytes": given[f"{n}_bytes"] for n in TYPES}, SETS[0], tmp_path)
    for name in TYPES:
        expected, values = given[f"{name}_float"], answers[f"{name}_values"]
        finite = np.isfinite(expected)
        assert finite.mean() > 0.9
        assert values[finite].tobytes() == expected[finite].tobytes(), name


@pytest.mark.parametrize("name", TYPES)
def test_layout(name: str) -> None:
    """A layout places each weight once, and lanes of a chain keep to one group of scales."""
    layout = LAYOUTS[name]
    assert sorted(layout.order) == list(range(256))
    places = np.array(layout.order).reshape(layout.chains, layout.vectors, 16, 4)
    groups = places // layout.group
    assert (groups == groups[:, :1, :, :1]).all()


@pytest.mark.parametrize("name", TYPES)
def test_grid(name: str) -> None:
    """Codes are places in `levels`, and `packed` holds them lowest first."""
    book = codes(name)
    entries = getattr(gguf.quants, name).grid.reshape(book.shape)
    assert (np.array(levels(name))[book] == entries).all()
    shifts = 4 * np.arange(book.shape[1]).astype(np.uint64)
    fields = np.array(packed(name, 4), np.uint64)[:, None] >> shifts
    assert (fields & np.uint64(15) == book).all()
