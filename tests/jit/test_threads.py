"""Kernels asked for by several threads at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from zigllm_cli.jit import Kernel, kernel


def test_a_kernel_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two objects with the same symbol in LLVM's loader: a thread ran the one not yet finished."""
    loads: list[str] = []
    load = kernel._Engine.load

    def slowly(self: kernel._Engine, code: bytes, symbol: str) -> int:
        loads.append(symbol)
        time.sleep(0.05)
        return load(self, code, symbol + ("" if len(loads) == 1 else "?"))

    monkeypatch.setattr(kernel, "_addresses", {})
    monkeypatch.setattr(kernel._Engine, "load", slowly)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(kernel.address, [Kernel("count_rows")] * 8))
    assert len(loads) == 1
    assert len(set(found)) == 1
    assert found[0]
