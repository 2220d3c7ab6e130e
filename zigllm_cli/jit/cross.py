"""Kernels compiled for machines that this one is not, to be read.

    python -m zigllm_cli.jit.cross neon rows-Q4_0-0

prints the assembly that an ARM machine with the dot product extension would run. It is what
Numba would make there: the process takes itself for one on that machine, so it must do nothing
else. Several kernels are separated by form feeds.
"""

from __future__ import annotations

import os
import subprocess
import sys

from zigllm_cli.errors import InputError
from zigllm_cli.jit.kernel import Kernel
from zigllm_cli.simd import isa as instruction_sets

TRIPLES = {"neon": "aarch64-unknown-linux-gnu"}
"""Of the instruction sets that are not of x86-64."""


def assembly(isa: str, *kernels: Kernel) -> list[str]:
    """The assembly of kernels for an instruction set, whatever this CPU is; made in a process.

    Raises:
        InputError: no instruction set has that name.
    """
    _by_name(isa)
    command = [sys.executable, "-m", __name__, isa, *(kernel.name for kernel in kernels)]
    environment = {**os.environ, "ZIGLLM_ISA": ""}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.split("\f")


def _by_name(name: str) -> instruction_sets.Isa:
    for isa in instruction_sets.ISAS:
        if isa.name == name:
            return isa
    names = ", ".join(isa.name for isa in instruction_sets.ISAS)
    raise InputError(f"{name} is not an instruction set: use {names}")


def _kernel(name: str) -> Kernel:
    module, *variant = name.split("-")
    return Kernel(module, tuple(int(part) if part.isdigit() else part for part in variant))


def _main(isa: str, *names: str) -> None:
    import llvmlite.binding as llvm

    instruction_sets.pretend(_by_name(isa))
    triple = TRIPLES.get(isa, "x86_64-unknown-linux-gnu")
    llvm.get_process_triple = lambda: triple  # Numba asks this for the target of everything
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()

    from zigllm_cli.jit.compile import assembly as compiled

    kernels = map(_kernel, names)
    print("\f".join(compiled(kernel.build(), kernel.name) for kernel in kernels), end="")


if __name__ == "__main__":
    _main(*sys.argv[1:])
