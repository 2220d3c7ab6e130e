"""Waiting politely: a hint to the core that this is a spin loop."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from zigllm_cli.simd.emit import call, emit
from zigllm_cli.simd.isa import host_features
from zigllm_cli.simd.vector import I32


@emit(types.void)
def pause(b: Any) -> None:
    """Let the other hardware thread go first, where there is an instruction for it."""
    if "sse2" in host_features():
        call(b, "llvm.x86.sse2.pause", ir.VoidType())
    elif "neon" in host_features():
        call(b, "llvm.aarch64.hint", ir.VoidType(), ir.Constant(I32, 1))  # yield
