"""A kernel's name, its machine code and its address."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from threading import RLock
from typing import Any

from zigllm_cli.jit import cache as disk
from zigllm_cli.simd.isa import prepare_numba, target


@dataclass(frozen=True, order=True)
class Kernel:
    """Names a kernel: a module of `zigllm_cli.kernels` and the arguments of its `build`."""

    module: str
    variant: tuple[str | int, ...] = ()

    @property
    def name(self) -> str:
        """Unique, and fit for a file's name."""
        return "-".join((self.module, *(str(part) for part in self.variant)))

    def build(self) -> Any:
        """The Numba function behind it, not yet compiled."""
        prepare_numba()  # the first `njit` in any module settles the target
        return import_module(f"zigllm_cli.kernels.{self.module}").build(*self.variant)


class _Engine:
    """LLVM's loader of object code; lives as long as the process, as its functions must."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        cpu, features = target()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=cpu, features=features, jit=True
        )
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)

    def load(self, code: bytes, symbol: str) -> int:
        import llvmlite.binding as llvm

        self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self.engine.finalize_object()
        return int(self.engine.get_function_address(symbol))


@cache
def _engine() -> _Engine:
    return _Engine()


def _symbol(kernel: Kernel) -> str:
    return "zigllm_" + kernel.name


_addresses: dict[Kernel, int] = {}
_compiled: set[Kernel] = set()
_loading = RLock()


def address(kernel: Kernel) -> int:
    """Where the kernel's machine code stands, compiled first if it is not kept on disk."""
    if kernel not in _addresses:
        with _loading:  # of two objects with one symbol, LLVM could name the one not yet finished
            if kernel not in _addresses:
                _addresses[kernel] = _loaded(kernel)
    return _addresses[kernel]


def _loaded(kernel: Kernel) -> int:
    code = disk.read(kernel.name)
    if code is None:
        from zigllm_cli.jit.compile import object_code

        code = object_code(kernel.build(), _symbol(kernel))
        disk.write(kernel.name, code)
        _compiled.add(kernel)
    return _engine().load(code, _symbol(kernel))


Native = Callable[[int, int, int], None]


@cache
def call(kernel: Kernel) -> Native:
    """The kernel as a Python callable; it runs without the interpreter's lock."""
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    return prototype(address(kernel))


def compiled_here() -> frozenset[Kernel]:
    """What this process found on no disk and compiled."""
    return frozenset(_compiled)


def missing(kernels: Iterable[Kernel]) -> list[Kernel]:
    """Those that are not kept on disk, or not whole, in order."""
    return sorted(kernel for kernel in set(kernels) if disk.read(kernel.name) is None)


def compile_missing(
    kernels: Iterable[Kernel], progress: Callable[[int, int], None] | None = None
) -> int:
    """Compile what is not kept yet; `progress(done, all)` is told. Returns how many there were."""
    wanted = missing(kernels)
    for done, kernel in enumerate(wanted):
        if progress:
            progress(done, len(wanted))
        address(kernel)
    if progress and wanted:
        progress(len(wanted), len(wanted))
    return len(wanted)
