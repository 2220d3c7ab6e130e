"""Layouts that are equal share the records of activations: on no machine may those differ."""

from __future__ import annotations

from itertools import combinations

import pytest

from zigllm_cli.quants.layouts import LAYOUTS
from zigllm_cli.simd import isa


@pytest.mark.parametrize("machine", isa.ISAS, ids=lambda machine: machine.name)
def test_equal_layouts_have_equal_records(
    monkeypatch: pytest.MonkeyPatch, machine: isa.Isa
) -> None:
    monkeypatch.setattr(isa, "current", lambda: machine)
    pairs = [(a, b) for a, b in combinations(LAYOUTS.values(), 2) if a == b]
    assert pairs
    for a, b in pairs:
        assert (a.starts, a.minima_at, a.record) == (b.starts, b.minima_at, b.record)
        assert (a.words, a.panel_record) == (b.words, b.panel_record)
    words = [layout for layout in LAYOUTS.values() if layout.words]
    assert bool(words) == (machine.name == "avx2")
    assert not any(layout.starts or layout.minima for layout in words)  # their records have none
