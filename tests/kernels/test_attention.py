"""Attention against a float64 softmax over the values that the cache really holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zigllm_cli.kernels.attention_layout import scratch_bytes
from zigllm_cli.kernels.cache_layout import CacheLayout
from zigllm_cli.simd.isa import ISAS, host_features

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Case:
    """A cache of several sequences, and queries of the last tokens of each.

    Attributes:
        lengths: tokens of each sequence in the cache.
        asked: how many of them, the last, are in the batch.
        heads: query heads, and heads of keys.
        dims: of a key and of a value.
        types: of keys and of values in the cache.
    """

    lengths: tuple[int, ...] = (70,)
    asked: tuple[int, ...] = (33,)
    heads: tuple[int, int] = (8, 1)
    dims: tuple[int, int] = (64, 64)
    types: tuple[str, str] = ("f16", "f16")
    window: int = 0
    cap: float = 0.0
    slopes: bool = False
    sinks: bool = False
    causal: bool = True
    chunk: int = 64

    def prepare(self, batch_state: Callable[..., Any]) -> None:
        """Fill the cache and make the arguments of the kernels."""
        rng = np.random.default_rng(sum(self.lengths) + self.dims[0])
        (heads, kv_heads), (dim, v_dim) = self.heads, self.dims
        context = max(self.lengths)
        layouts = [CacheLayout(t, d) for t, d in zip(self.types, self.dims, strict=True)]
        sizes = [layouts[0].k_bytes(context), layouts[1].v_bytes(context)]
        # whatever is not a key or a value may hold anything, NaN included
        caches = [np.full((len(self.lengths), kv_heads, size), 255, np.uint8) for size in sizes]
        self.held: list[list[tuple[np.ndarray, np.ndarray]]] = []
        for sequence, length in enumerate(self.lengths):
            self.held.append([])
            for head in range(kv_heads):
                k, v = caches[0][sequence, head], caches[1][sequence, head]
                layouts[0].write_k(k, 0, rng.standard_normal((length, dim), np.float32))
                layouts[1].write_v(v, 0, rng.standard_normal((length, v_dim), np.float32))
                pair = layouts[0].read_k(k, 0, length), layouts[1].read_v(v, 0, length)
                self.held[-1].append(pair)
        spans = list(zip(self.lengths, self.asked, strict=True))
        self.positions = [p for length, n in spans for p in range(length - n, length)]
        self.sequences = [s for s, n in enumerate(self.asked) for _ in range(n)]
        ends = None if self.causal else [self.lengths[s] for s in self.sequences]
        tokens = len(self.positions)
        room = scratch_bytes(tokens, context, heads, v_dim, self.chunk)
        self.state = batch_state(self.positions, self.sequences, ends, room)
        self.q = rng.standard_normal((tokens, heads, dim), np.float32)
        self.out = np.zeros((tokens, heads, v_dim), np.float32)
        self.slope = (2.0 ** -np.arange(1, heads + 1)).astype(np.float32)
        self.sink = rng.standard_normal(heads, np.float32)
        self.scale = float(dim**-0.5)
        self.arguments = [
            *(self.q, self.q[0].nbytes, self.out, self.out[0].nbytes),
            *(heads, kv_heads, dim, v_dim),
            *(caches[0], kv_heads * sizes[0], sizes[0], caches[1], kv_heads * sizes[1], sizes[1]),
            *(self.scale, self.cap, self.window),
            *(self.slope if self.slopes else 0, self.sink if self.sinks else 0),
            *(self.state.block, self.chunk),
        ]

    def compute(self, run: Callable[..., None], mode: str, threads: int = 1) -> np.ndarray:
        """The kernels' result, float32 [tokens, heads, value dim]."""
        self.out[:] = np.nan
        if mode == "prefill":
            run("attention", ("prefill", *self.types), self.arguments, threads)
        else:
            group = self.heads[0] // self.heads[1]
            run("attention", ("decode", *self.types, group), self.arguments, threads)
            run("attention_merge", (), self.arguments, threads)
        return self.out.copy()

    def exact(self) -> np.ndarray:
        """The same in float64."""
        heads, kv_heads = self.heads
        result = np.zeros(self.out.shape)
        for i, (position, s) in enumerate(zip(self.positions, self.sequences, strict=True)):
            first = max(0, position - self.window + 1) if self.window else 0
            seen = np.arange(first, position + 1 if self.causal else self.lengths[s])
            for head in range(heads):
                k, v = (x[seen].astype(np.float64) for x in self.held[s][head * kv_heads // heads])
                score = k @ self.q[i, head] * self.scale
                if self.cap:
                    score = self.cap * np.tanh(score / self.cap)
                if self.slopes:
                    score = score - self.slope[head] * np.abs(seen - position)
                weights = np.exp(score)
                total = weights.sum() + (np.exp(self.sink[head]) if self.sinks else 0)
                result[i, head] = weights @ v / total
        return result


CASES = {
    "one token of one": Case((1,), (1,)),
    "one token": Case((200,), (1,)),
    "smallest dim": Case((70,), (33,), dims=(8, 8)),
    "head of keys for each head": Case((40,), (40,), heads=(3, 3), dims=(128, 128)),
    "sequences": Case((33, 100, 64, 1), (33, 7, 1, 1), heads=(8, 2), dims=(20, 24)),
    "window": Case((170, 90), (33, 3), dims=(80, 96), window=40),
    "window of one": Case((70,), (5,), window=1),
    "soft cap": Case((70,), (9,), cap=3.0),
    "slopes": Case((150,), (17,), slopes=True, dims=(96, 80)),
    "slopes, all seen": Case((150,), (150,), slopes=True, causal=False),
    "sinks": Case((1, 70), (1, 9), sinks=True),
    "everything": Case((170,), (33,), window=70, cap=5.0, slopes=True, sinks=True),
    "both directions": Case((70, 90), (70, 3), causal=False, dims=(256, 256)),
    "largest dim": Case((70, 3), (20, 1), heads=(5, 1), dims=(576, 512)),
    "chunk as large as all": Case((170,), (3,), chunk=512),
}


@pytest.mark.parametrize("name", CASES)
def test_against_float64(
    run: Callable[..., None], batch_state: Callable[..., Any], name: str
) -> None:
    case = CASES[name]
    case.prepare(batch_state)
    wanted = case.exact()
    for mode in ("prefill", "decode"):
        got = case.compute(run, mode)
        # 1e-6 of the cached values, which are around 1
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-6, err_msg=mode)
        assert np.array_equal(got, case.compute(run, mode, 2)), f"{mode} depends on threads"


@pytest.mark.parametrize(
    "types",
    [("f32", "f32"), ("bf16", "q4_0"), ("q8_0", "bf16"), ("q4_0", "q8_0")],
    ids="-".join,
)
def test_types_of_the_cache(
    run: Callable[..., None], batch_state: Callable[..., Any], types: tuple[str, str]
) -> None:
    for dims in ((64, 64), (20, 24), (80, 112)):
        case = Case((150, 70), (2, 5), heads=(2, 2), dims=dims, types=types, window=100)
        case.prepare(batch_state)
        got = case.compute(run, "decode", 2)
        np.testing.assert_allclose(got, case.exact(), rtol=0, atol=1e-6)


def test_result_does_not_depend_on_the_batch(
    run: Callable[..., None], batch_state: Callable[..., Any]
) -> None:
    """Prefill gives a token the same bits in any company."""
    whole = Case((150,), (150,), heads=(8, 2))
    whole.prepare(batch_state)
    together = whole.compute(run, "prefill")
    part = Case((150,), (150,), heads=(8, 2))
    part.prepare(batch_state)
    for first, last in ((0, 1), (1, 37), (37, 150)):
        state = batch_state(range(first, last))
        rows = [part.q[first:], *part.arguments[1:2], part.out[first:], *part.arguments[3:]]
        rows[19] = state.block
        run("attention", ("prefill", "f16", "f16"), rows, 2)
    assert np.array_equal(part.out, together)


def test_token_that_sees_nothing(run: Callable[..., None], batch_state: Callable[..., Any]) -> None:
    case = Case((70,), (3,))
    case.prepare(batch_state)
    case.state.ends[1] = 0
    for mode in ("prefill", "decode"):
        got = case.compute(run, mode)
        assert not got[1].any()
        assert np.isfinite(got).all()
        assert got[0].any()
        assert got[2].any()


@pytest.mark.parametrize("isa", ["portable", "avx2"])
def test_other_instruction_sets(isa: str) -> None:
    needs = next(known.needs for known in ISAS if known.name == isa)
    if not host_features().issuperset(needs):
        pytest.skip(f"this CPU is without {isa}")
    files = [f"tests/kernels/{name}.py" for name in ("test_attention", "test_math", "test_rope")]
    chosen = "everything or window or smallest or both or ends_of_the_range or rope"
    options = ["-q", "-x", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=ROOT,
        env={**os.environ, "ZIGLLM_ISA": isa},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
