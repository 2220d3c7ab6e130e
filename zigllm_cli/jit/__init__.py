"""Kernels as machine code: compiled once, kept on disk, found again by address.

A kernel is a C function `void kernel(int64 args, int64 thread, int64 threads)`. Python source
stands in `zigllm_cli/kernels`; Numba compiles it when it is first wanted on a machine, and the
object code is kept. A later start loads it without importing Numba.
"""

from zigllm_cli.jit.kernel import Kernel, address, call, compile_missing, compiled_here

__all__ = ["Kernel", "address", "call", "compile_missing", "compiled_here"]
