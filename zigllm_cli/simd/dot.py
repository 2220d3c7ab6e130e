"""`dot4`: the one operation that makes quantised products fast.

Each 32-bit lane of the accumulator gains the sum of four products, unsigned bytes of weights
times signed bytes of activations. The result is exact on every machine (|u * s| * 4 is far from
the limit of 32 bits); only the instruction differs.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from zigllm_cli.simd.emit import call, emit, halves, joined
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.vector import I8, I16, I32, i8x64, i32x16, u8x64


def _vpdpbusd(b: Any, acc: Any, u: Any, s: Any, parts: int) -> Any:
    name = {1: "512", 2: "256", 4: "128"}[parts]
    results = [
        call(b, f"llvm.x86.avx512.vpdpbusd.{name}", a.type, a, x, y)
        for a, x, y in zip(*(halves(b, v, parts) for v in (acc, u, s)), strict=True)
    ]
    return joined(b, results)


def _pmaddwd(b: Any, acc: Any, u: Any, s: Any) -> Any:
    """Widened to 16 bits and multiplied in pairs: vpmaddubsw would saturate above 127."""
    words = ir.VectorType(I16, 16)
    total = []
    for a, x, y in zip(halves(b, acc, 4), halves(b, u, 4), halves(b, s, 4), strict=True):
        pairs = call(
            b, "llvm.x86.avx2.pmadd.wd", ir.VectorType(I32, 8), b.zext(x, words), b.sext(y, words)
        )
        even = b.shuffle_vector(pairs, pairs, ir.Constant(a.type.__class__(I32, 4), [0, 2, 4, 6]))
        odd = b.shuffle_vector(pairs, pairs, ir.Constant(a.type.__class__(I32, 4), [1, 3, 5, 7]))
        total.append(b.add(a, b.add(even, odd)))
    return joined(b, total)


def _sdot(b: Any, acc: Any, u: Any, s: Any) -> Any:
    """Signed times signed is all that the base extension has: u - 128, and 128 sums of s back."""
    lanes4, bytes16 = ir.VectorType(I32, 4), ir.VectorType(I8, 16)
    top = ir.Constant(bytes16, [ir.Constant(I8, -128)] * 16)
    name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
    total = []
    for a, x, y in zip(halves(b, acc, 4), halves(b, u, 4), halves(b, s, 4), strict=True):
        # -(-128 * s) restores what the shift of u took away
        shifted = call(b, name, lanes4, a, b.xor(x, top), y)
        sums = call(b, name, lanes4, ir.Constant(lanes4, None), top, y)
        total.append(b.sub(shifted, sums))
    return joined(b, total)


def _portable(b: Any, acc: Any, u: Any, s: Any) -> Any:
    """Four strided products, left to LLVM."""
    wide = ir.VectorType(I32, 64)
    products = b.mul(b.zext(u, wide), b.sext(s, wide))
    for k in range(4):
        picks = ir.Constant(ir.VectorType(I32, 16), [4 * lane + k for lane in range(16)])
        acc = b.add(acc, b.shuffle_vector(products, products, picks))
    return acc


@emit(i32x16, i32x16, u8x64, i8x64)
def dot4(b: Any, acc: Any, u: Any, s: Any) -> Any:
    """acc[lane] + sum of u[4*lane + k] * s[4*lane + k] over k = 0..3."""
    return build_dot4(b, acc, u, s)


def build_dot4(b: Any, acc: Any, u: Any, s: Any) -> Any:
    """IR of `dot4` on the current instruction set."""
    name = current().name
    if name == "avx512":
        return _vpdpbusd(b, acc, u, s, 1)
    if name == "avxvnni":
        return _vpdpbusd(b, acc, u, s, 2)
    if name == "avx2":
        return _pmaddwd(b, acc, u, s)
    if name == "neon":
        return _sdot(b, acc, u, s)
    return _portable(b, acc, u, s)
