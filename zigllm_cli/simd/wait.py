"""Waiting politely: a hint to the core that this is a spin loop."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.isa import host_features


@emit(types.void)
def pause(b: Any) -> None:
    """Let the other hardware thread go first, where there is an instruction for it."""
    kind = ir.FunctionType(ir.VoidType(), [])
    if "sse2" in host_features():
        b.asm(kind, "pause", "", [], True)
    elif "neon" in host_features():
        b.asm(kind, "yield", "", [], True)
