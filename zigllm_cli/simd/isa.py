"""The instruction set that kernels are compiled for.

Chosen once per process: the best one of this CPU, or the one that `ZIGLLM_ISA` names. Kernels
never name an instruction; the few operations that have one of their own look here (`dot.py`,
`lookup.py`, `bits.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from zigllm_cli.errors import InputError, UnsupportedError


@dataclass(frozen=True)
class Isa:
    """An instruction set.

    Attributes:
        name: as `ZIGLLM_ISA` spells it.
        needs: LLVM feature names that the CPU must have.
        cpu: LLVM's name of the plainest CPU with them; empty for the CPU at hand.
        registers: vector registers.
        width: bytes of one.
    """

    name: str
    needs: tuple[str, ...]
    cpu: str
    registers: int
    width: int


AVX2 = ("avx2", "fma", "f16c", "bmi2")
AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avx512vbmi")

ISAS: tuple[Isa, ...] = (
    Isa("avx512", (*AVX512, "avx512bitalg", "gfni"), "icelake-client", 32, 64),
    Isa("avxvnni", (*AVX2, "avxvnni"), "alderlake", 16, 32),
    Isa("avx2", AVX2, "haswell", 16, 32),
    Isa("neon", ("neon", "dotprod"), "neoverse-n1", 32, 16),
    Isa("portable", (), "", 16, 16),
)
"""Best first. AVX512 means Ice Lake or Zen 4 and later: VNNI alone lacks the byte permutes."""


def is_centred(most: int) -> bool:
    """Whether products take unsigned weights up to `most` as u - 128, so that no start is due.

    Where the machine multiplies signed bytes, or saturates at large unsigned ones.
    """
    return most > {"avx2": 128, "neon": 127}.get(current().name, 255)


def takes_words(most: int) -> bool:
    """Whether products of many tokens widen weights up to `most` and activations to 16 bits.

    With AVX2 weights above 128 take four operations for 32 products either way: as bytes one for
    the sign, the product, its widening, the sum; as words two products and two sums, which the
    core spreads better: 74 G/s beside 66 on one of Zen 3, all from the first-level cache.
    """
    return current().name == "avx2" and is_centred(most)


_pretended: Isa | None = None


def pretend(isa: Isa) -> None:
    """Take this for a process on a machine with just that instruction set, and compile for it.

    Its code can be read, not run (`jit.cross`). Come before the import of any other module of
    this package: what they hold depends on the instruction set.
    """
    global _pretended
    _pretended = isa
    os.environ["ZIGLLM_ISA"] = isa.name
    for answer in (host_features, current, target):
        answer.cache_clear()


@cache
def host_features() -> frozenset[str]:
    """LLVM's names of what this CPU can do."""
    if _pretended:
        return frozenset(_pretended.needs)
    import llvmlite.binding as llvm

    return frozenset(name for name, has in llvm.get_host_cpu_features().items() if has)


@cache
def current() -> Isa:
    """The instruction set of this process.

    Raises:
        InputError: `ZIGLLM_ISA` names none.
        UnsupportedError: `ZIGLLM_ISA` names one that this CPU lacks.
    """
    name = os.environ.get("ZIGLLM_ISA", "")
    if not name:
        return next(isa for isa in ISAS if host_features().issuperset(isa.needs))
    for isa in ISAS:
        if isa.name == name:
            missing = sorted(set(isa.needs) - host_features())
            if missing:
                raise UnsupportedError(
                    f"ZIGLLM_ISA={name} needs {', '.join(missing)}, which this CPU lacks"
                )
            return isa
    raise InputError(
        f"ZIGLLM_ISA={name} is not an instruction set: use {', '.join(i.name for i in ISAS)}"
    )


@cache
def target() -> tuple[str, str]:
    """(CPU, features) to compile for, in LLVM's spelling.

    Without `ZIGLLM_ISA` all of this CPU; with it the plainest CPU of that instruction set, so
    that a test of a lesser one meets no instruction that a lesser machine would lack.
    """
    import llvmlite.binding as llvm

    if not os.environ.get("ZIGLLM_ISA"):
        return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    isa = current()
    if isa.name == "portable":
        return "x86-64" if "sse2" in host_features() else "generic", ""
    return isa.cpu, ""


def prepare_numba() -> None:
    """Make Numba compile for `target()` where `ZIGLLM_ISA` names it."""
    if os.environ.get("ZIGLLM_ISA"):
        from numba import config

        config.CPU_NAME, config.CPU_FEATURES = target()
