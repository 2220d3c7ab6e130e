"""The cache's bytes: round trips, ggml's own quantisation, and the kernel that stores them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.quants import quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from zigllm_cli.kernels.cache_layout import KV_TYPES, CacheLayout

BITS = {"f32": 32, "f16": 16, "bf16": 16, "q8_0": 8.5, "q4_0": 4.5}
STEP = {"f32": 0, "f16": 2**-11, "bf16": 2**-8, "q8_0": 0.6 / 127, "q4_0": 1 / 8}
"""The largest error of a value, as a part of the largest value of its group."""


@given(
    kv_type=st.sampled_from(KV_TYPES),
    head_dim=st.integers(1, 140),
    first=st.integers(0, 40),
    count=st.integers(0, 40),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_round_trip(kv_type: str, head_dim: int, first: int, count: int, seed: int) -> None:
    layout = CacheLayout(kv_type, head_dim)
    rng = np.random.default_rng(seed)
    before, values = rng.standard_normal((2, 80, head_dim)).astype(np.float32)
    values = values[:count]
    keys, rows = np.zeros(layout.k_bytes(80), np.uint8), np.zeros(layout.v_bytes(80), np.uint8)
    for memory, write, read in (
        (keys, layout.write_k, layout.read_k),
        (rows, layout.write_v, layout.read_v),
    ):
        write(memory, 0, before)
        wanted = read(memory, 0, 80)
        write(memory, first, values)
        after = read(memory, 0, 80)
        got = after[first : first + count].copy()
        limit = STEP[kv_type] * np.abs(values).max(axis=-1, initial=0, keepdims=True)
        assert (np.abs(got - values) <= limit * 1.01).all()
        after[first : first + count] = wanted[first : first + count]
        assert np.array_equal(after, wanted), "other positions are as they were"
        part = read(memory, first, count)
        assert part.shape == (count, head_dim)
        assert np.array_equal(part, got)
        write(memory, first, got)
        if kv_type != "q4_0":  # whose scale follows the value of largest magnitude, now rounded
            assert np.array_equal(read(memory, first, count), got)
    assert np.array_equal(layout.read_k(keys, first, count), layout.read_v(rows, first, count))


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_sizes(kv_type: str) -> None:
    layout = CacheLayout(kv_type, 64)
    assert layout.k_panel_bytes * 8 == 16 * 64 * BITS[kv_type]
    assert layout.v_row_bytes * 8 == 64 * BITS[kv_type]
    assert layout.k_bytes(17) >= 2 * layout.k_panel_bytes
    assert layout.k_bytes(17) % 64 == 0


def test_unknown_type() -> None:
    with pytest.raises(ValueError, match="q5_0 is not a type of a cache"):
        CacheLayout("q5_0", 64)


@pytest.mark.parametrize("kv_type", ["q8_0", "q4_0"])
def test_rows_are_blocks_of_ggml(kv_type: str) -> None:
    values = np.random.default_rng(1).standard_normal((50, 96)).astype(np.float32)
    layout = CacheLayout(kv_type, 96)
    memory = np.zeros(layout.v_bytes(50), np.uint8)
    layout.write_v(memory, 0, values)
    wanted = quantize(values, gguf.GGMLQuantizationType[kv_type.upper()])
    assert np.array_equal(memory[: wanted.size].reshape(wanted.shape), wanted)


@pytest.mark.parametrize(
    ("k_type", "v_type"),
    [("f32", "q4_0"), ("f16", "f16"), ("bf16", "q8_0"), ("q8_0", "bf16"), ("q4_0", "f32")],
)
@pytest.mark.parametrize(("k_dim", "v_dim"), [(8, 8), (20, 24), (64, 64), (80, 128)])
def test_kernel_stores_the_same_bytes(
    run: Callable[..., None],
    batch_state: Callable[..., Any],
    k_type: str,
    v_type: str,
    k_dim: int,
    v_dim: int,
) -> None:
    heads, context = 3, 50
    positions, sequences = [*range(3, 20), 0, 1, 2, 3], [1] * 17 + [0] * 4
    rng = np.random.default_rng(k_dim)
    k = rng.standard_normal((21, heads, k_dim)).astype(np.float32)
    v = rng.standard_normal((21, heads, v_dim)).astype(np.float32)
    v[3] = 0
    keys, values = CacheLayout(k_type, k_dim), CacheLayout(v_type, v_dim)
    size, row = keys.k_bytes(context), values.v_bytes(context)
    got_k, got_v = np.zeros((2, heads, size), np.uint8), np.zeros((2, heads, row), np.uint8)
    state = batch_state(positions, sequences)
    places = [got_k, heads * size, size, got_v, heads * row, row, state.block]
    arguments = [k, k[0].nbytes, v, v[0].nbytes, heads, k_dim, v_dim, *places]
    run("cache_store", (k_type, v_type), arguments, 2)

    for head in range(heads):
        for sequence, first, part in ((1, 3, slice(0, 17)), (0, 0, slice(17, 21))):
            wanted = np.zeros(size, np.uint8)
            keys.write_k(wanted, first, k[part, head])
            assert np.array_equal(got_k[sequence, head], wanted)
            wanted = np.zeros(row, np.uint8)
            values.write_v(wanted, first, v[part, head])
            assert np.array_equal(got_v[sequence, head], wanted)
