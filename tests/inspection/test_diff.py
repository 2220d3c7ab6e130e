"""`diff`: distances against numpy, keys one by one."""

from __future__ import annotations

from math import log10
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.gguf import open_gguf
from zigllm_cli.inspection import diff as module
from zigllm_cli.inspection import values
from zigllm_cli.inspection.diff import diff


def test_a_file_equals_itself(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded, although the bytes are equal")

    monkeypatch.setattr(module, "_compare_values", refuse)
    path = kit / "models" / "llama-k256" / "model-Q4_K_M.gguf"
    found = diff(open_gguf(path), open_gguf(path))
    assert found.equal
    assert (found.keys_equal, found.tensors_equal) == (27, 11)
    assert found.keys_changed == found.tensors_changed == ()


@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0", "Q4_K_M", "Q4_0", "IQ4_NL"])
def test_distances_are_numpys(kit: Path, name: str) -> None:
    folder = kit / "models" / "llama-k256"
    found = diff(open_gguf(folder / "model-f32.gguf"), open_gguf(folder / f"model-{name}.gguf"))
    a, b = (
        {t.name: t for t in gguf.GGUFReader(folder / f"model-{part}.gguf").tensors}
        for part in ("f32", name)
    )
    assert [change.key for change in found.keys_changed] == ["general.file_type"]
    changed = {change.name: change for change in found.tensors_changed}
    assert set(changed) == {n for n in a if a[n].tensor_type != b[n].tensor_type}
    for tensor, change in changed.items():
        left, right = (
            gguf.quants.dequantize(t[tensor].data, t[tensor].tensor_type).astype(np.float64).ravel()
            for t in (a, b)
        )
        error, numbers = left - right, change.values
        assert numbers is not None
        assert numbers.max_abs == pytest.approx(np.abs(error).max(), abs=1e-9)
        assert numbers.rms == pytest.approx(np.sqrt((error**2).mean()), abs=1e-9)
        assert numbers.differing == pytest.approx(np.count_nonzero(error), abs=error.size // 50)
        if not error.any():
            assert (numbers.relative_rms, numbers.snr_db) == (0, None)
            continue
        relative = np.sqrt((error**2).sum() / (left**2).sum())
        assert numbers.relative_rms == pytest.approx(relative, rel=1e-4)
        assert numbers.snr_db == pytest.approx(-20 * log10(relative), rel=1e-4)


def test_keys(build: Any) -> None:
    a = build({"x.gone": 1, "x.same": 0.5, "x.word": "old", "x.kind": 5, "x.list": [1, 2, 3, 4]})
    b = build(
        {
            "x.new": 1,
            "x.same": 0.5,
            "x.word": "new",
            "x.kind": ("INT32", 5),
            "x.list": [1, 9, 3, 4, 5],
        },
        name="b.gguf",
    )
    found = diff(open_gguf(a), open_gguf(b))
    assert not found.equal
    assert (found.keys_only_in_a, found.keys_only_in_b) == (("x.gone",), ("x.new",))
    word, kind, numbers = found.keys_changed
    assert (word.a, word.b, word.differing) == ("old", "new", None)
    assert (kind.type_a, kind.type_b, kind.a, kind.b) == ("u32", "i32", 5, 5)
    assert (numbers.count_a, numbers.count_b, numbers.differing) == (4, 5, 2)
    assert [(e.index, e.a, e.b) for e in numbers.first] == [(1, 2, 9), (4, None, 5)]


def test_nan_equals_nan(build: Any) -> None:
    keys = {"x.nan": float("nan"), "x.nans": [float("nan"), 1.0]}
    tensors = {"t": np.array([np.nan, 1, np.inf], np.float32)}
    a, b = build(keys, tensors), build(keys, tensors, name="b.gguf")
    assert diff(open_gguf(a), open_gguf(b)).equal


def test_values_that_are_not_finite(build: Any) -> None:
    a = build({}, {"t": np.array([np.nan, 1, np.inf, np.inf, 2], np.float32)})
    b = build({}, {"t": np.array([np.nan, 1, np.inf, -np.inf, 2.5], np.float32)}, name="b.gguf")
    (change,) = diff(open_gguf(a), open_gguf(b)).tensors_changed
    assert change.values is not None
    assert (change.values.not_finite, change.values.differing) == (1, 1)
    assert change.values.max_abs == 0.5
    assert change.values.rms == pytest.approx(np.sqrt(0.25 / 2))


def test_tensors_that_cannot_be_compared(build: Any) -> None:
    block = np.zeros((1, 18), np.uint8)
    a = build(
        {}, {"s": np.ones((2, 3), np.float32), "q": (block, "Q4_0"), "only": np.ones(1, "f4")}
    )
    other = {"s": np.ones((3, 2), np.float32), "q": (block, "Q4_0"), "added": np.ones(1, "f4")}
    b = build({}, other, name="b.gguf", big_endian=True)
    found = diff(open_gguf(a), open_gguf(b))
    assert (found.tensors_only_in_a, found.tensors_only_in_b) == (("only",), ("added",))
    shape, quantised = found.tensors_changed
    assert (shape.shape_a, shape.shape_b, shape.values) == ((3, 2), (2, 3), None)
    assert quantised.reason is not None
    assert "big-endian" in quantised.reason


def test_byte_order_is_no_difference(build: Any) -> None:
    tensors = {"t": np.random.default_rng(1).normal(0, 1, (5, 7)).astype(np.float32)}
    a = build({"x.y": [1, 2]}, tensors)
    b = build({"x.y": [1, 2]}, tensors, name="b.gguf", big_endian=True)
    assert diff(open_gguf(a), open_gguf(b)).equal


def test_patterns_leave_the_rest_out(kit: Path) -> None:
    folder = kit / "models" / "llama-k256"
    a, b = open_gguf(folder / "model-f32.gguf"), open_gguf(folder / "model-Q8_0.gguf")
    found = diff(a, b, "*norm*")
    assert found.equal
    assert (found.keys_equal, found.tensors_equal) == (1, 3)
    assert len(diff(a, b, "blk.0.ffn_[ud]*").tensors_changed) == 2


def test_pieces_do_not_matter(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = kit / "models" / "llama-k256"
    a, b = open_gguf(folder / "model-f32.gguf"), open_gguf(folder / "model-Q4_K_M.gguf")
    whole = diff(a, b, "blk*").tensors_changed
    steps: list[int] = []
    for chunk in (256, 1024):
        monkeypatch.setattr(values, "CHUNK", chunk)
        monkeypatch.setattr(module, "COMPARE_BYTES", chunk)
        steps.clear()
        for one, other in zip(whole, diff(a, b, "blk*", steps.append).tensors_changed, strict=True):
            assert one.values is not None
            assert other.values is not None
            assert other.values.max_abs == one.values.max_abs
            assert other.values.rms == pytest.approx(one.values.rms, rel=1e-12)
        assert sum(steps) == sum(t.nbytes for n, t in a.tensors.items() if n.startswith("blk"))
