"""What the tests of formats share: random blocks, reference decoders, answers of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.simd import vector as vector  # settles the instruction set before any test runs

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Blocks = Callable[..., Bytes]
Decoder = Callable[[Bytes, str], Floats]
Answers = dict[str, NDArray[np.float32]]

HALVES = {
    "Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "TQ1_0": (52,), "TQ2_0": (64,),
    "Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "MXFP4": (), "NVFP4": (),
}  # fmt: skip
"""Where half floats stand in a block; at its beginning if not told."""


@pytest.fixture(scope="session")
def blocks() -> Blocks:
    """blocks(name, rows, row_length, seed=0): random blocks whose scales are ordinary numbers."""

    def make(name: str, rows: int, row_length: int, seed: int = 0) -> Bytes:
        rng, kind = np.random.default_rng(seed), tensor_type(name)
        count = rows * row_length // kind.block_size
        data = rng.integers(0, 256, (count, kind.block_bytes), np.uint8)
        for place in HALVES.get(name, (0,)):
            sizes = rng.uniform(0.001, 0.01, count) * rng.choice([-1, 1], count)
            data[:, place : place + 2] = sizes.astype(np.float16)[:, None].view(np.uint8)
        if name == "MXFP4":
            data[:, 0] = rng.integers(118, 125, count)
        if name == "NVFP4":
            data[:, :4] = rng.integers(0, 0x50, (count, 4))
        if name == "IQ1_M":  # its scale is spread over the upper nibbles of four words
            words = data[:, 48:56].view("<u2")
            words[:] = words & 0x0FFF | np.array([0, 0, 0x8000, 0x1000], np.uint16)
        return data.reshape(rows, -1)

    return make


@pytest.fixture(scope="session")
def decode() -> Decoder:
    """decode(data, name): by the gguf package; what it lacks, by the formulas of the types."""

    def reference(data: Bytes, name: str) -> Floats:
        if name in ("Q1_0", "Q2_0"):
            return _few_bits(data, 1 if name == "Q1_0" else 2)
        with np.errstate(all="ignore"):
            values = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name])
        return values.astype(np.float32, copy=False)

    return reference


def _few_bits(data: Bytes, bits: int) -> Floats:
    """d * (2 * bit - 1), or d * (two bits - 1); the first weights in the lowest bits."""
    blocks = data.reshape(-1, 18)
    codes = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").reshape(len(blocks), -1, bits)
    whole = 2 * codes[..., 0] - 1.0 if bits == 1 else codes[..., 0] + 2.0 * codes[..., 1] - 1
    d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    with np.errstate(all="ignore"):
        return (d * whole.astype(np.float32)).reshape(len(data), -1)


@pytest.fixture
def answers(tmp_path: Path) -> Callable[[str, dict[str, np.ndarray]], Answers]:
    """answers(isa, questions): those of `run_kernels.py` in a process of its own.

    An empty `isa` is this CPU as it is, whose kernels other tests have compiled.
    """

    def ask(isa: str, questions: dict[str, np.ndarray]) -> Answers:
        np.savez(tmp_path / "in.npz", **questions)
        script = Path(__file__).with_name("run_kernels.py")
        command = [sys.executable, str(script), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
        environment = os.environ | {"ZIGLLM_ISA": isa}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return dict(np.load(tmp_path / "out.npz"))

    return ask
