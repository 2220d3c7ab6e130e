"""Products of many tokens against float64, for every shape of layout and at awkward sizes."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.jit import Kernel, call
from zigllm_cli.plan.memory import address as memory_address
from zigllm_cli.plan.memory import aligned
from zigllm_cli.quants import dequantize
from zigllm_cli.quants.layouts import LAYOUTS, STEP

ROOM = 1 << 20


def rounded(x: Any) -> Any:
    """Activations as the kernel rounds them: to 8 bits, a scale per 32."""
    groups = x.reshape(len(x), -1, 32)
    largest = np.abs(groups).max(axis=-1, keepdims=True)
    codes = np.round(groups * (np.float32(127) / largest))
    return (codes * (largest / np.float32(127)).astype(np.float64)).reshape(len(x), -1)


def product(
    kernel: Kernel, weights: Any, x: Any, stride: int, whole: int, behind: int, **extra: Any
) -> Any:
    """Run a kernel of many tokens on `threads` threads, one after the other."""
    tokens, rows, threads = extra["tokens"], len(weights), extra.get("threads", 1)
    out = extra.get("out", np.zeros((tokens, rows), np.float32)).copy()
    bias = extra.get("bias")
    count, counter = np.array([tokens], np.int64), np.zeros(1, np.int64)
    space = aligned(threads * ROOM)
    args = np.array(
        [
            *(weights.ctypes.data, weights.shape[1] * weights.itemsize, rows, whole, behind),
            *(memory_address(x), stride, out.ctypes.data, 4 * rows),
            *(0 if bias is None else bias.ctypes.data, int("out" in extra), count.ctypes.data),
            *(memory_address(space), ROOM, counter.ctypes.data, extra.get("step", 4)),
        ],
        np.int64,
    )
    for thread in range(threads):
        call(kernel)(args.ctypes.data, thread, threads)
    return out


def records(name: str, x: Any) -> tuple[Any, int, int]:
    """Activations in a type's order, with room behind for a tile that runs over.

    And the bytes from token to token, and from step to step.
    """
    layout, (tokens, columns) = LAYOUTS[name], x.shape
    stride, step = layout.panel_record, (tokens + 16) * layout.panel_record
    block, count = aligned(-(-columns // STEP) * step), np.array([tokens], np.int64)
    words = [x.ctypes.data, 4 * columns, memory_address(block), stride, columns]
    args = np.array([*words, count.ctypes.data, step])
    call(Kernel("activations", (name, int(layout.words))))(args.ctypes.data, 0, 1)
    return block, stride, step


def quantised(name: str, rows: int, columns: int, rng: np.random.Generator) -> Any:
    """Random rows of a type, with scales that are ordinary numbers."""
    values = rng.standard_normal((rows, columns), dtype=np.float32)
    if name in ("Q4_0", "Q8_0", "Q5_1", "TQ2_0"):
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType[name])
    kind = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = rng.integers(0, 256, (rows * columns // kind[0], kind[1]), dtype=np.uint8)
    for place in {"Q2_K": (80, 82), "Q6_K": (208,), "Q4_K": (0, 2)}[name]:
        scales = rng.uniform(0.001, 0.01, len(blocks)).astype(np.float16)
        blocks[:, place : place + 2] = scales[:, None].view(np.uint8)
    return blocks.reshape(rows, -1)


@pytest.mark.parametrize("name", ["Q4_0", "Q8_0", "Q4_K", "Q6_K", "Q2_K", "Q5_1", "TQ2_0"])
def test_against_float64(name: str) -> None:
    rng = np.random.default_rng(7)
    sizes = [(70, 512, 17), (16, 256, 16)]
    if name in ("Q4_0", "Q8_0", "Q5_1"):
        sizes += [(33, 32, 19), (130, 288, 35)]
    for rows, columns, tokens in sizes:
        weights = quantised(name, rows, columns, rng)
        x = rng.standard_normal((tokens, columns), dtype=np.float32)
        block, stride, step = records(name, x)
        whole, behind = columns // STEP, columns % STEP // 32
        shape = (weights, block, stride, whole, behind)
        kernel, sizes_of_x = Kernel("panels", (name,)), {"tokens": tokens, "step": step}
        plain = product(kernel, *shape, **sizes_of_x)
        expected = rounded(x) @ dequantize(weights, name, columns).astype(np.float64).T
        scale = np.abs(expected).max()
        assert np.abs(plain - expected).max() <= 1e-6 * scale
        shared = product(kernel, *shape, **sizes_of_x, threads=3)
        assert np.array_equal(shared, plain)
        bias = rng.standard_normal(rows, dtype=np.float32)
        added = product(kernel, *shape, **sizes_of_x, bias=bias, out=plain)
        assert np.abs(added - (2 * expected + bias)).max() <= 2e-6 * scale


@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_floats_against_float64(name: str) -> None:
    rng = np.random.default_rng(8)
    for rows, columns, tokens in [(70, 172, 17), (5, 8, 16), (64, 1040, 29)]:
        values = rng.standard_normal((rows, columns), dtype=np.float32)
        kind = gguf.GGMLQuantizationType[name]
        weights = np.ascontiguousarray(gguf.quants.quantize(values, kind)).view(np.uint8)
        x = rng.standard_normal((tokens, columns), dtype=np.float32)
        shape = (weights, x, 4 * columns, columns, 0)
        kernel = Kernel("float_panels", (name,))
        plain = product(kernel, *shape, tokens=tokens)
        exact = gguf.quants.dequantize(weights, kind).reshape(rows, columns).astype(np.float64)
        expected = x.astype(np.float64) @ exact.T
        assert np.abs(plain - expected).max() <= 5e-6 * np.abs(expected).max()
        assert np.array_equal(product(kernel, *shape, tokens=tokens, threads=2), plain)
