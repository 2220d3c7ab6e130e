"""Some thousand damaged headers, by the fuzzer of `scripts/` and by hypothesis."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zigllm_cli.errors import ZigllmError
from zigllm_cli.gguf.reader import parse_header

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fuzz_gguf.py"
Raw = Callable[..., bytes]


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_gguf", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_gguf"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def seeds(fuzz: ModuleType, tmp_path: Path) -> tuple[Any, Any]:
    """The sound files that the script makes itself, in both byte orders."""
    made: tuple[Any, Any] = fuzz.load_seeds([], tmp_path)
    return made


def test_sound_files_are_accepted(fuzz: ModuleType, seeds: Any, tmp_path: Path) -> None:
    report = fuzz.Report()
    for seed in seeds[0]:
        path = tmp_path / "sound.gguf"
        assert fuzz.run_input(path, seed.header, seed.size, 0, report) is None
    assert report.accepted == len(seeds[0]) == 4


def test_damaged_headers(fuzz: ModuleType, seeds: Any, tmp_path: Path) -> None:
    report = fuzz.run(*seeds, 7, range(6000), tmp_path / "kept")
    assert report.offences == []
    assert report.count == 6000
    assert report.accepted > 100
    assert report.classes["InputError"] > 3000
    assert len(report.messages) > 15


def test_damaged_headers_of_real_files(fuzz: ModuleType, kit: Path, tmp_path: Path) -> None:
    files = [*kit.glob("vocab/*bert-bge.gguf"), *kit.glob("models/q*/*.gguf")]
    seeds = fuzz.load_seeds(sorted(files), tmp_path)
    report = fuzz.run(*seeds, 8, range(2000), tmp_path / "kept")
    assert report.offences == []


def test_same_seed_same_input(fuzz: ModuleType, seeds: Any) -> None:
    first = [fuzz.make_input(*seeds, 1, number) for number in range(100)]
    again = [fuzz.make_input(*seeds, 1, number) for number in reversed(range(100))]
    assert first == again[::-1]
    assert first != [fuzz.make_input(*seeds, 2, number) for number in range(100)]


@pytest.mark.parametrize("fault", ["error", "slow"])
def test_a_fault_is_found_and_kept(
    fault: str, fuzz: ModuleType, seeds: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(path: Path) -> None:
        if fault == "error":
            raise KeyError("no such thing")

    monkeypatch.setattr(fuzz, "open_gguf", faulty)
    monkeypatch.setattr(fuzz, "exercise", lambda file: None)
    monkeypatch.setattr(fuzz, "time_limit", lambda size: -1.0 if fault == "slow" else 60.0)
    report = fuzz.run(*seeds, 1, [5], tmp_path / "kept")
    assert ("KeyError" if fault == "error" else "took") in report.offences[0]
    data, size = fuzz.make_input(*seeds, 1, 5)
    kept = (tmp_path / "kept" / "seed1-5.gguf").read_bytes()
    assert kept == data + bytes(size - len(data))


@settings(max_examples=500)
@given(data=st.binary(max_size=200), counts=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_noise_behind_a_sound_start(raw_gguf: Raw, data: bytes, counts: tuple[int, int]) -> None:
    start = raw_gguf(counts=counts)
    try:
        header = parse_header(start + data)
    except ZigllmError:
        return
    assert len(header.tensors) == counts[0]
    assert len(header.fields) == counts[1]


@settings(max_examples=300)
@given(data=st.binary(max_size=64))
def test_noise(data: bytes) -> None:
    for buffer in (data, b"GGUF" + data):
        try:
            parse_header(buffer)
        except ZigllmError:
            continue
        assert len(data) >= 20
