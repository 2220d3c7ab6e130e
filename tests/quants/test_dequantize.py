"""`dequantize` against ggml's own decoders (by their recorded floats) and the gguf package's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf.types import TENSOR_TYPES, tensor_type
from zigllm_cli.jit import Kernel, call
from zigllm_cli.quants import dequantize
from zigllm_cli.quants.layouts import LAYOUTS
from zigllm_cli.simd.isa import ISAS, host_features

DATA = Path(__file__).resolve().parents[1] / "data" / "blocks.npz"
RECORDED = sorted(name.removesuffix("_bytes") for name in np.load(DATA).files if "_bytes" in name)
SHORT = sorted(name for name in LAYOUTS if tensor_type(name).block_size < 256)
OTHER_SETS = [isa.name for isa in ISAS if host_features().issuperset(isa.needs)][1:]
REPRESENTATIVE = ("Q1_0", "Q3_K", "Q4_1", "Q5_0", "Q6_K", "IQ4_XS", "MXFP4", "NVFP4", "TQ1_0")
"""Together they use every operation that has an instruction of its own somewhere."""


def assert_same(values: np.ndarray, expected: np.ndarray, what: str) -> None:
    """The same bits wherever the reference is finite."""
    finite = np.isfinite(expected)
    assert finite.mean() > 0.85, what
    assert values.dtype == np.float32
    assert values.shape == expected.shape
    assert values[finite].tobytes() == expected[finite].tobytes(), what


def test_every_type_has_a_decoder() -> None:
    for kind in TENSOR_TYPES:
        assert (
            dequantize(np.zeros((1, kind.block_bytes), np.uint8), kind.id, kind.block_size).any()
            == 0
        )


@pytest.mark.parametrize("name", RECORDED)
def test_recorded(name: str) -> None:
    given = np.load(DATA)
    assert_same(dequantize(given[f"{name}_bytes"], name, 1024), given[f"{name}_float"], name)


@pytest.mark.parametrize("file", ["random", "random_imatrix", "random_bytes", "stories260K"])
def test_kit(kit: Path, file: str) -> None:
    given = np.load(kit / "quant" / f"{file}.npz")
    names = [name.removesuffix("_bytes") for name in given.files if "_bytes" in name]
    assert len(names) >= 25
    for name in names:
        assert_same(dequantize(given[f"{name}_bytes"], name, 1024), given[f"{name}_float"], name)


def test_no_rows_and_no_values() -> None:
    assert dequantize(np.zeros((0, 34), np.uint8), "Q8_0", 32).shape == (0, 32)
    assert dequantize(np.zeros((3, 0), np.uint8), "Q8_0", 0).shape == (3, 0)


@pytest.mark.parametrize("name", SHORT)
def test_rows_that_end_within_a_step(name: str, blocks: Any, decode: Any) -> None:
    block = tensor_type(name).block_size
    for blocks_per_row in {1, 2, 256 // block - 1, 256 // block + 1, 8 * 256 // block + 3}:
        length = blocks_per_row * block
        data = blocks(name, 3, length, seed=length)
        assert_same(dequantize(data, name, length), decode(data, name), f"{name} {length}")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LAYOUTS)), st.integers(1, 4), st.integers(1, 9), st.randoms())
def test_any_bytes(decode: Any, name: str, rows: int, count: int, random: Any) -> None:
    """Of a few blocks a row, so that steps and their remainders occur."""
    kind = tensor_type(name)
    size = count * kind.block_bytes
    data = np.frombuffer(random.randbytes(rows * size), np.uint8).reshape(rows, size)
    values, expected = dequantize(data, name, count * kind.block_size), decode(data, name)
    finite = np.isfinite(expected)
    assert values.shape == expected.shape
    assert values[finite].tobytes() == expected[finite].tobytes()
    assert not np.isfinite(values[~finite]).any()


def test_rows_apart_backwards_or_in_columns(blocks: Any) -> None:
    data = blocks("Q5_1", 8, 288)
    expected = dequantize(data, "Q5_1", 288)
    wide = np.zeros((8, data.shape[1] + 5), np.uint8)
    wide[:, 2:-3] = data
    assert (dequantize(wide[:, 2:-3], "Q5_1", 288) == expected).all()
    assert (dequantize(data[::-3], "Q5_1", 288) == expected[::-3]).all()
    assert (dequantize(np.asfortranarray(data), "Q5_1", 288) == expected).all()


@pytest.mark.parametrize("name", ["F16", "BF16"])
@pytest.mark.parametrize("length", [1, 15, 16, 33, 100])
def test_halves(name: str, length: int, decode: Any) -> None:
    rng = np.random.default_rng(length)
    data = rng.standard_normal((5, length)).astype(np.float32)
    bits = data.view(np.uint16)[:, 1::2] if name == "BF16" else data.astype(np.float16)
    raw = np.ascontiguousarray(bits).view(np.uint8).reshape(5, -1)
    assert_same(dequantize(raw, name, length), decode(raw, name).reshape(5, -1), name)


@pytest.mark.parametrize(
    ("name", "code"),
    [("F32", "f4"), ("F64", "f8"), ("I8", "i1"), ("I16", "i2"), ("I32", "i4"), ("I64", "i8")],
)
def test_plain_numbers(name: str, code: str) -> None:
    numbers = np.array([[0, 1, -2], [3, 100, -128]], f"<{code}")
    values = dequantize(numbers.view(np.uint8).reshape(2, -1), name, 3)
    assert values.dtype == np.float32
    assert (values == numbers).all()


@pytest.mark.parametrize(("name", "scale"), [("Q8_1", np.float16), ("Q8_K", np.float32)])
def test_types_of_activations(name: str, scale: Any) -> None:
    kind = tensor_type(name)
    rng = np.random.default_rng(1)
    data = rng.integers(0, 256, (2, 3, kind.block_bytes), np.uint8)
    d = np.linspace(-2, 3, 6, dtype=scale).reshape(2, 3, 1)
    data[:, :, : d.itemsize] = d.view(np.uint8)
    start = 4
    whole = data[:, :, start : start + kind.block_size].view(np.int8)
    expected = (d.astype(np.float32) * whole).reshape(2, -1)
    assert (dequantize(data.reshape(2, -1), name, 3 * kind.block_size) == expected).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads_share_the_rows(threads: int, blocks: Any) -> None:
    data = blocks("Q4_1", 5, 96)
    out = np.full((5, 96), np.nan, np.float32)
    words = (data.ctypes.data, data.shape[1], 5, 96, out.ctypes.data, 4 * 96)
    args = np.array(words, np.int64)
    for thread in range(threads):
        call(Kernel("dequantize", ("Q4_1",)))(args.ctypes.data, thread, threads)
    assert (out == dequantize(data, "Q4_1", 96)).all()


Ask = Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]]


def recorded_by(answers: Ask, isa: str, names: tuple[str, ...]) -> None:
    given = np.load(DATA)
    found = answers(isa, {f"{name}_bytes": given[f"{name}_bytes"] for name in names})
    for name in names:
        assert_same(found[f"{name}_values"], given[f"{name}_float"], f"{isa} {name}")


def test_no_load_leaves_the_rows(answers: Ask) -> None:
    """The asked process fences the rows with pages that cannot be read."""
    recorded_by(answers, "", tuple(LAYOUTS))


@pytest.mark.parametrize("isa", OTHER_SETS)
def test_instruction_sets(isa: str, answers: Ask) -> None:
    recorded_by(answers, isa, REPRESENTATIVE)


@pytest.mark.slow
@pytest.mark.parametrize("isa", OTHER_SETS)
def test_every_type_on_instruction_sets(isa: str, answers: Ask) -> None:
    recorded_by(answers, isa, tuple(LAYOUTS))


@pytest.mark.parametrize("shape", [(2, 35), (2, 33), (34,)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="rows of 32 Q8_0 values do not fit"):
        dequantize(np.zeros(shape, np.uint8), "Q8_0", 32)


def test_half_a_block_is_refused() -> None:
    with pytest.raises(InputError, match="rows of 40 Q8_0 values"):
        dequantize(np.zeros((1, 34), np.uint8), "Q8_0", 40)


def test_unknown_types_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="was removed from ggml"):
        dequantize(np.zeros((1, 18), np.uint8), 31, 32)


def test_a_kept_kernel_needs_no_numba() -> None:
    code = (
        "import sys, numpy as np\n"
        "from zigllm_cli.quants import dequantize\n"
        "assert 'numpy' in sys.modules and 'llvmlite' not in sys.modules\n"
        "dequantize(np.zeros((1, 34), np.uint8), 'Q8_0', 32)\n"
        "print('numba' in sys.modules)"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "False\n"
