"""Which instruction set is chosen, and what `ZIGLLM_ISA` says when it cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.simd import isa

Cpu = Callable[..., None]


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Cpu:
    """cpu(*features): be on a machine with these. What the process has chosen stays chosen."""
    for name in ("current", "target"):
        monkeypatch.setattr(isa, name, getattr(isa, name).__wrapped__)

    def pretend(*features: str) -> None:
        monkeypatch.setattr(isa, "host_features", lambda: frozenset(features))

    return pretend


SKYLAKE_X = ("sse2", *isa.AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl")
CASCADE_LAKE = (*SKYLAKE_X, "avx512vnni")
ICE_LAKE = (*CASCADE_LAKE, "avx512vbmi", "avx512vbmi2", "avx512bitalg", "gfni")


@pytest.mark.parametrize(
    ("features", "name"),
    [
        ((), "portable"),
        (("sse2", "sse4.2"), "portable"),
        (("sse2", "avx2"), "portable"),  # some hypervisors hide the rest
        (("sse2", *isa.AVX2), "avx2"),
        (SKYLAKE_X, "avx2"),
        (CASCADE_LAKE, "avx2"),
        (("sse2", *isa.AVX2, "avxvnni"), "avxvnni"),
        (ICE_LAKE, "avx512"),
        ((*ICE_LAKE, "avxvnni"), "avx512"),
        (("neon",), "portable"),
        (("neon", "dotprod", "sve"), "neon"),
    ],
)
def test_best_of_the_cpu(cpu: Cpu, features: tuple[str, ...], name: str) -> None:
    cpu(*features)
    assert isa.current().name == name


@pytest.mark.parametrize("name", ["portable", "avx2", "avx512"])
def test_chosen_by_name(cpu: Cpu, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    cpu(*ICE_LAKE)
    monkeypatch.setenv("ZIGLLM_ISA", name)
    assert isa.current().name == name


@pytest.mark.parametrize(
    ("name", "features", "target"),
    [
        ("portable", ICE_LAKE, "x86-64"),
        ("portable", ("neon", "dotprod"), "generic"),
        ("avx2", ICE_LAKE, "haswell"),
        ("avx512", ICE_LAKE, "icelake-client"),
        ("neon", ("neon", "dotprod"), "neoverse-n1"),
    ],
)
def test_target_of_a_name_is_the_plainest_cpu(
    cpu: Cpu, monkeypatch: pytest.MonkeyPatch, name: str, features: tuple[str, ...], target: str
) -> None:
    cpu(*features)
    monkeypatch.setenv("ZIGLLM_ISA", name)
    assert isa.target() == (target, "")


def test_target_is_this_cpu(cpu: Cpu) -> None:
    import llvmlite.binding as llvm

    assert isa.target() == (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


def test_unknown_name(cpu: Cpu, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu(*ICE_LAKE)
    monkeypatch.setenv("ZIGLLM_ISA", "sse9")
    with pytest.raises(InputError) as refused:
        isa.current()
    assert str(refused.value) == (
        "ZIGLLM_ISA=sse9 is not an instruction set: use avx512, avxvnni, avx2, neon, portable"
    )


def test_name_that_the_cpu_lacks(cpu: Cpu, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu(*CASCADE_LAKE)
    monkeypatch.setenv("ZIGLLM_ISA", "avx512")
    with pytest.raises(UnsupportedError) as refused:
        isa.current()
    assert str(refused.value) == (
        "ZIGLLM_ISA=avx512 needs avx512bitalg, avx512vbmi, gfni, which this CPU lacks"
    )
