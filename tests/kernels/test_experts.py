"""Routing, sorting and the products of experts against float64; sizes that fit nothing."""

from __future__ import annotations

from struct import pack, unpack
from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.jit import Kernel, call
from zigllm_cli.kernels.expert_runs import LIST, PAIRS, RUN
from zigllm_cli.plan.memory import address, aligned

EXPERTS, ROOM = 7, 1 << 20


def run(kernel: Kernel, words: list[int], threads: int = 2) -> None:
    args = np.array(words, np.int64)
    for thread in range(threads):
        call(kernel)(address(args), thread, threads)


def state(tokens: int) -> np.ndarray:
    block = np.zeros(16, np.int64)
    block[0] = tokens
    return block


def word(value: float) -> int:
    return int(unpack("<q", pack("<d", value))[0])


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


SCORES = {
    "softmax": softmax,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax_chosen": lambda x: x,
}


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kind", SCORES)
def test_routes(kind: str, groups: int) -> None:
    rng = np.random.default_rng(3)
    tokens, experts, used, kept = 9, 36, 5, 2 if groups > 1 else 1
    logits = rng.standard_normal((tokens, experts)).astype(np.float32)
    bias = rng.standard_normal(experts).astype(np.float32)
    chosen, weights = np.zeros((tokens, used), np.int64), np.zeros((tokens, used), np.float32)
    block = state(tokens)
    settings = [experts, used, address(bias), groups, kept, 1, word(2.5)]
    places = [address(chosen), address(weights), address(block)]
    run(Kernel("route", (kind,)), [address(logits), *settings, *places])

    scores = SCORES[kind](logits.astype(np.float64))
    wanted = scores + bias
    if groups > 1:
        parts = wanted.reshape(tokens, groups, -1)
        best = np.argsort(-np.sort(parts, axis=-1)[..., -2:].sum(axis=-1), axis=-1)[:, :kept]
        for row, stays in zip(parts, best, strict=True):
            row[np.setdiff1d(range(groups), stays)] = -np.inf
        wanted = parts.reshape(tokens, experts)
    expected = np.argsort(-wanted, axis=-1)[:, :used]
    assert np.array_equal(chosen, expected)
    shares = np.take_along_axis(scores, expected, axis=-1)
    shares = softmax(shares) if kind == "softmax_chosen" else shares
    shares = 2.5 * shares / shares.sum(axis=-1, keepdims=True)
    assert np.abs(weights - shares).max() <= 1e-6 * np.abs(shares).max()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_routes_of_nonsense_are_experts_that_exist(value: float) -> None:
    logits = np.full((2, EXPERTS), value, np.float32)
    chosen, weights, block = np.full((2, 3), -1, np.int64), np.zeros((2, 3), np.float32), state(2)
    words = [address(logits), EXPERTS, 3, 0, 1, 1, 0, word(1.0)]
    run(Kernel("route", ("softmax",)), [*words, address(chosen), address(weights), address(block)])
    for row in chosen:
        assert len(set(row.tolist())) == 3
        assert set(row.tolist()) <= set(range(EXPERTS))


def sorted_pairs(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The runs, and the pair at each place."""
    runs = aligned(LIST + RUN * EXPERTS)
    sources, places = np.zeros(chosen.size, np.int64), np.zeros(chosen.size, np.int64)
    block = state(len(chosen))
    tables = [address(runs), address(sources), address(places), address(block)]
    run(Kernel("expert_runs"), [address(chosen), chosen.shape[1], EXPERTS, *tables])
    assert np.array_equal(places[sources], np.arange(chosen.size))
    return runs, sources


def test_runs() -> None:
    chosen = np.array([[6, 1], [1, 0], [6, 3], [0, 6]])
    runs, sources = sorted_pairs(chosen)
    words = runs.view(np.int64)
    assert words[0] == 4
    assert words[PAIRS // 8] == 8
    table = words[LIST // 8 : LIST // 8 + 12].reshape(4, 3).tolist()
    assert table == [[0, 0, 2], [1, 2, 2], [3, 4, 1], [6, 5, 3]]
    assert sources.tolist() == [3, 6, 1, 2, 5, 0, 4, 7]


@pytest.mark.parametrize(("parts", "size"), [(1, 20), (3, 64), (2, 100)])
def test_gather(parts: int, size: int) -> None:
    """Rows in parts that stand apart, in other distances where they come from and where they go."""
    rng = np.random.default_rng(size)
    rows, sources = rng.integers(0, 256, (parts, 9, size), np.uint8), np.array([13, 2, 0, 8, 9])
    out, count = np.zeros((parts, 7, size), np.uint8), np.array([len(sources)])
    words = [address(rows), size, address(out), address(sources), 2, address(count)]
    run(Kernel("gather_rows"), [*words, parts, 9 * size, 7 * size], 2)
    assert np.array_equal(out[:, :5], rows[:, sources // 2])
    assert not out[:, 5:].any()


@pytest.mark.parametrize("shape", [(33, 64, 1, 1), (70, 40, 9, 2), (16, 544, 60, 3)])
@pytest.mark.parametrize("kernel", ["expert_rows", "expert_panels"])
@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_products(kind: str, kernel: str, shape: tuple[int, int, int, int]) -> None:
    """Each pair gets its expert's product and bias, however many threads share the work."""
    rows, columns, tokens, used = shape
    columns = -(-columns // 32) * 32
    rng = np.random.default_rng(rows)
    ggml = gguf.GGMLQuantizationType[kind]
    values = rng.standard_normal((EXPERTS, rows, columns)).astype(np.float32)
    data = np.ascontiguousarray(gguf.quants.quantize(values, ggml)).view(np.uint8)
    exact = gguf.quants.dequantize(data, ggml).reshape(values.shape).astype(np.float64)
    bias = rng.standard_normal((EXPERTS, rows)).astype(np.float32)
    chosen = np.array([rng.permutation(EXPERTS)[:used] for _ in range(tokens)], np.int64)
    chosen[:, 0] = np.where(np.arange(tokens) % 3, 2, chosen[:, 0])  # one expert with many
    runs, sources = sorted_pairs(chosen)
    x = rng.standard_normal((chosen.size, columns)).astype(np.float32)
    expected = np.array(
        [x[i] @ exact[e].T + bias[e] for i, e in enumerate(chosen.ravel()[sources])]
    )
    given, size, step, steps = records(kind, x, by_step=kernel == "expert_panels")
    matrices = np.array([address(matrix) for matrix in data], np.int64)
    block, counter, space = state(tokens), np.zeros(1, np.int64), aligned(3 * ROOM)
    for threads in (1, 3):
        out = np.zeros((chosen.size, rows), np.float32)
        words = [address(matrices), data.shape[-1], rows, *steps, address(given), size]
        words += [address(out), 4 * rows, address(bias), address(runs), 1, address(block)]
        words += [address(space), ROOM, address(counter), step]
        variant = (kind, 1) if kernel == "expert_rows" else (kind,)
        run(Kernel(kernel, variant), words, threads)
        bound = 5e-6 if kind == "F32" else 2e-2
        assert np.abs(out - expected).max() <= bound * np.abs(expected).max()
        assert counter[0] == 0


def records(kind: str, x: np.ndarray, by_step: bool) -> tuple[Any, int, int, tuple[int, int]]:
    """x as weights of a type want it, bytes from row to row and from step to step, and how
    kernels count along it."""
    tokens, columns = x.shape
    if kind == "F32":
        return x, 4 * columns, 4, (columns, 0)
    from zigllm_cli.quants.layouts import LAYOUTS, STEP

    layout, steps = LAYOUTS[kind], -(-columns // STEP)
    record = layout.panel_record if by_step else layout.record
    size, step = (record, (tokens + 16) * record) if by_step else (steps * record, record)
    block, count = aligned((tokens + 16) * steps * record), np.array([tokens], np.int64)
    words = [address(x), 4 * columns, address(block), size, columns, address(count), step]
    run(Kernel("activations", (kind, int(by_step and layout.words))), words, 1)
    return block, size, step, (columns // STEP, columns % STEP // 32)
