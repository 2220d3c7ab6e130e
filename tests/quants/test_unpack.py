"""Layouts, what unpacks them, and the products that stand on both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fences import fenced
from numba import njit

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.jit import Kernel, call
from zigllm_cli.quants.layouts import LAYOUTS, STEP, Layout
from zigllm_cli.quants.unpack import unpacking
from zigllm_cli.simd.memory import store_vec

Array = np.ndarray[Any, np.dtype[Any]]
FEW = ("Q4_1", "Q2_K", "Q8_0", "Q1_0")
"""Two chains with minima, one with 16 groups, four, one of 32: compiling takes seconds each."""


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str) -> None:
    """Each weight has one place, each lane one scale, each group its lanes next to each other."""
    layout = LAYOUTS[name]
    assert sorted(layout.order) == list(range(STEP))
    places = np.array(layout.order).reshape(layout.chains, layout.vectors, 16, 4)
    groups = places // layout.group
    of_lane = groups[:, 0, :, 0]
    assert (groups == of_lane[:, None, :, None]).all()
    runs = of_lane.reshape(-1, layout.lanes)
    assert (runs == runs[:, :1]).all()
    assert sorted(runs[:, 0]) == list(range(layout.groups))
    if layout.minima:
        named = sorted(group for group in layout.minima if group >= 0)
        assert named == list(range(STEP // layout.minima_group))
        assert len(layout.minima) == 16
    assert layout.record % 64 == 0
    assert 0 <= layout.offset < 256


def contents(name: str, step: Array) -> tuple[Array, Array, Array]:
    """What a type's functions return: bytes [4, 64], scales [chains, 16], minima [16]."""
    layout, unpack = LAYOUTS[name], unpacking(name)
    weights, scales = unpack.weights, unpack.scales
    minima, has_minima = getattr(unpack, "minima", lambda p: None), bool(layout.minima)
    chains = layout.chains

    @njit(error_model="numpy")
    def show(p, out):
        w0, w1, w2, w3 = weights(p)
        store_vec(out, w0)
        store_vec(out + 64, w1)
        store_vec(out + 128, w2)
        store_vec(out + 192, w3)
        s = scales(p)
        store_vec(out + 256, s[0])
        if chains >= 2:
            store_vec(out + 320, s[1])
        if chains == 4:
            store_vec(out + 384, s[2])
            store_vec(out + 448, s[3])
        if has_minima:
            store_vec(out + 512, minima(p))

    out = np.zeros(576, np.uint8)
    show(step.ctypes.data, out.ctypes.data)
    floats = out[256:].view(np.float32).reshape(5, 16)
    return out[:256].reshape(4, 64), floats[:chains], floats[4]


def values_by_contract(layout: Layout, parts: tuple[Array, Array, Array]) -> Array:
    """scales[chain][lane] * (byte - offset) - minimum, each weight by its own lane."""
    codes, scales, minima = parts
    whole = codes.astype(np.float32) - np.float32(layout.offset)
    chain = np.arange(4) // layout.vectors
    values = np.repeat(scales[chain], 4, axis=1) * whole
    natural = np.empty(STEP, np.float32)
    natural[np.array(layout.order)] = values.reshape(-1)
    for lane, group in enumerate(layout.minima):
        if group >= 0:
            start = group * layout.minima_group
            natural[start : start + layout.minima_group] -= minima[lane]
    return natural


@pytest.mark.parametrize("name", [*FEW, "Q6_K", "Q5_0", "Q5_K", "NVFP4", "TQ1_0"])
def test_unpack_keeps_the_contract(name: str, blocks: Any, decode: Any) -> None:
    check_contract(name, blocks, decode)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_unpack_keeps_the_contract(name: str, blocks: Any, decode: Any) -> None:
    check_contract(name, blocks, decode)


def check_contract(name: str, blocks: Any, decode: Any) -> None:
    step = blocks(name, 1, STEP, seed=3)
    parts = contents(name, step)
    assert parts[0].max() <= LAYOUTS[name].most
    found = values_by_contract(LAYOUTS[name], parts)
    assert found.tobytes() == decode(step, name).astype(np.float32).tobytes()


# ------------------------------------------------------------------ products


def rounded(x: Array) -> Array:
    """Activations as the kernels round them, as float64: by 32, the last group zero-filled."""
    padded = np.zeros((len(x), -(-x.shape[1] // 32) * 32), np.float32)
    padded[:, : x.shape[1]] = x
    groups = padded.reshape(len(x), -1, 32)
    largest = np.abs(groups).max(axis=-1, keepdims=True)
    inverse = np.divide(np.float32(127), largest, where=largest > 0, out=np.zeros_like(largest))
    units = (largest / np.float32(127)).astype(np.float64)
    return (np.rint(groups * inverse) * units).reshape(len(x), -1)[:, : x.shape[1]]


def aligned(size: int) -> Array:
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size]


def product(name: str, weights: Array, x: Array, threads: int = 1, few: bool = True) -> Array:
    """W x of quantised rows by the kernels `activations` and `rows`."""
    kind, layout = tensor_type(name), LAYOUTS[name]
    tokens, length = x.shape
    stride = -(-length // STEP) * layout.record
    records, state = aligned(tokens * stride), np.array([tokens], np.int64)
    words = (x.ctypes.data, 4 * length, records.ctypes.data, stride, length, state.ctypes.data)
    args = np.array((*words, layout.record), np.int64)
    for thread in range(threads):
        call(Kernel("activations", (name,)))(args.ctypes.data, thread, threads)
    out = np.full((tokens, len(weights)), np.nan, np.float32)
    behind = length % STEP // kind.block_size
    words = (weights.ctypes.data, weights.shape[1], len(weights), length // STEP, behind)
    words += (records.ctypes.data, stride, out.ctypes.data, 4 * len(weights), 0, 0)
    args = np.array((*words, state.ctypes.data), np.int64)
    for thread in range(threads):
        call(Kernel("rows", (name, int(few))))(args.ctypes.data, thread, threads)
    return out


def check_product(name: str, weights: Array, x: Array, values: Array, few: bool) -> None:
    exact = rounded(x) @ values.astype(np.float64).T
    y = product(name, weights, x, few=few)
    error = np.abs(y - exact).max() / np.abs(exact).max()
    assert error < 1e-6, f"{name} {x.shape}: {error}"
    assert (product(name, weights, x, threads=3, few=few) == y).all()


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_token(name: str, blocks: Any, decode: Any) -> None:
    """Rows of whole steps, of less than one, and of some and a rest."""
    block = tensor_type(name).block_size
    rng = np.random.default_rng(5)
    for length in {2048, 3 * 256, 3 * block, 8 * STEP + 3 * block}:
        weights = blocks(name, 37, length, seed=length)
        x = rng.standard_normal((1, length), np.float32)
        check_product(name, weights, x, decode(weights, name), few=False)


@pytest.mark.parametrize("name", FEW)
def test_few_tokens(name: str, blocks: Any, decode: Any) -> None:
    check_few(name, blocks, decode)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - set(FEW)))
def test_few_tokens_of_other_types(name: str, blocks: Any, decode: Any) -> None:
    check_few(name, blocks, decode)


def check_few(name: str, blocks: Any, decode: Any) -> None:
    """Eight at a time, then four, two, one; a token's result is the same in any company."""
    length = 2 * STEP + 3 * tensor_type(name).block_size
    weights = blocks(name, 19, length, seed=1)
    values = decode(weights, name)
    x = np.random.default_rng(8).standard_normal((15, length), np.float32)
    for tokens in (1, 3, 8, 15):
        check_product(name, weights, x[:tokens], values, few=True)
    alone = np.concatenate([product(name, weights, x[i : i + 1], few=False) for i in range(15)])
    assert (alone == product(name, weights, x)).all()


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("name", ["Q4_1", "Q8_0", "Q4_0"])
def test_rows_do_not_meet(name: str, few: bool, blocks: Any) -> None:
    """What stands behind a row, not a number or nothing at all, does not reach its product."""
    length = STEP + 3 * tensor_type(name).block_size
    weights = blocks(name, 6, length, seed=4)
    x = np.random.default_rng(6).standard_normal((7 if few else 1, length), np.float32)
    expected = product(name, weights, x, few=few)
    weights[::2] = 255
    found = product(name, fenced(weights, at_end=True), x, few=few)
    assert not np.isfinite(found[:, ::2]).any()
    assert (found[:, 1::2] == expected[:, 1::2]).all()


# ------------------------------------------------------------------ embedding


@pytest.mark.parametrize(
    ("name", "length"), [("F32", 100), ("F16", 64), ("BF16", 17), ("Q5_0", 96), ("Q6_K", 512)]
)
@pytest.mark.parametrize("factor", [1.0, 11.3137085])
def test_embed(name: str, length: int, factor: float, blocks: Any, decode: Any) -> None:
    """The tokens' rows of the table, to the bit."""
    if name in LAYOUTS:
        table = blocks(name, 9, length)
    else:
        numbers = np.random.default_rng(2).standard_normal((9, length)).astype(np.float32)
        short = {"F32": numbers, "F16": numbers.astype(np.float16)}.get(
            name, np.ascontiguousarray(numbers.view(np.uint16)[:, 1::2])
        )
        table = short.view(np.uint8)
    ids, count = np.array([8, 0, 3, 3, 7], np.int64), np.array([5], np.int64)
    out = np.full((5, length + 3), np.nan, np.float32)
    words = (table.ctypes.data, table.shape[1], length, out.ctypes.data, out.strides[0])
    scale = int(np.float64(factor).view(np.int64))
    args = np.array((*words, ids.ctypes.data, count.ctypes.data, scale), np.int64)
    for thread in range(2):
        call(Kernel("embed", (name,)))(args.ctypes.data, thread, 2)
    expected = decode(table, name).reshape(9, length)[ids] * np.float32(factor)
    assert (out[:, :length] == expected).all()
    assert np.isnan(out[:, length:]).all()
