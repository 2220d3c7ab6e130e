"""`dot4`: the one operation that makes quantised products fast.

Each 32-bit lane of the accumulator gains the sum of four products, unsigned bytes of weights
times signed bytes of activations. The result is exact on every machine (|u * s| * 4 is far from
the limit of 32 bits); only the instruction differs.

A product adds many of them, of weights whose largest value it knows: `DotSum` is that sum, and
takes the shorter way where the machine has one for small weights. Without VNNI there are only
products of bytes added in pairs to 16 bits; several such pairs fit before they must be widened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from zigllm_cli.simd.emit import call, emit, halves, joined, opaque
from zigllm_cli.simd.isa import current, is_centred
from zigllm_cli.simd.vector import I8, I16, I32, i8x64, i32x16, u8x64

WORDS, DWORDS = ir.VectorType(I16, 16), ir.VectorType(I32, 8)
PAIRS_OF_WORDS, SDOT = "llvm.x86.avx2.pmadd.wd", "llvm.aarch64.neon.sdot.v4i32.v16i8"


def _vpdpbusd(b: Any, acc: Any, u: Any, s: Any, parts: int) -> Any:
    name = {1: "512", 2: "256", 4: "128"}[parts]
    results = [
        call(b, f"llvm.x86.avx512.vpdpbusd.{name}", a.type, a, x, y)
        for a, x, y in zip(*(halves(b, v, parts) for v in (acc, u, s)), strict=True)
    ]
    return joined(b, results)


def _pmaddwd(b: Any, acc: Any, u: Any, s: Any) -> Any:
    """Widened to 16 bits and multiplied in pairs: vpmaddubsw would saturate above 127."""
    total = []
    for a, x, y in zip(halves(b, acc, 4), halves(b, u, 4), halves(b, s, 4), strict=True):
        pairs = call(b, PAIRS_OF_WORDS, DWORDS, b.zext(x, WORDS), b.sext(y, WORDS))
        even = b.shuffle_vector(pairs, pairs, ir.Constant(a.type.__class__(I32, 4), [0, 2, 4, 6]))
        odd = b.shuffle_vector(pairs, pairs, ir.Constant(a.type.__class__(I32, 4), [1, 3, 5, 7]))
        total.append(b.add(a, b.add(even, odd)))
    return joined(b, total)


def _sdot(b: Any, acc: Any, u: Any, s: Any) -> Any:
    """Signed times signed is all that the base extension has: u - 128, and 128 sums of s back."""
    lanes4, bytes16 = ir.VectorType(I32, 4), ir.VectorType(I8, 16)
    top = ir.Constant(bytes16, [ir.Constant(I8, -128)] * 16)
    total = []
    for a, x, y in zip(halves(b, acc, 4), halves(b, u, 4), halves(b, s, 4), strict=True):
        # -(-128 * s) restores what the shift of u took away
        shifted = call(b, SDOT, lanes4, a, b.xor(x, top), y)
        sums = call(b, SDOT, lanes4, ir.Constant(lanes4, None), top, y)
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


LARGEST_ACTIVATION = 127
"""Activations are rounded to -127..127."""


class DotSum:
    """IR: start + the sum of some `dot4`, whose weights are at most `most`.

    Args:
        b: the builder.
        start: gives the 32-bit lanes to begin with, when they are needed; None for zeros.
        most: largest of the unsigned weights. Where `is_centred(most)`, 128 is taken from each.
    """

    def __init__(self, b: Any, start: Callable[[], ir.Value] | None, most: int) -> None:
        self.b, self.most = b, most
        self._start = start
        self._total: ir.Value | None = None
        self._pairs: list[ir.Value] | None = None
        self._count = 0

    def add(self, u: ir.Value, s: ir.Value) -> None:
        """Go on with 64 weights (with AVX2 also 32) and the activations that meet them."""
        name = current().name
        if name == "avx2":
            self._add_pairs(u, s)
        elif name == "neon":
            self._total = _signed_sdot(self.b, self._sum(), u, s, is_centred(self.most))
        else:
            self._total = build_dot4(self.b, self._sum(), u, s)

    def value(self) -> ir.Value:
        """The sum: as many 32-bit lanes as four weights each make."""
        self._widen()
        return self._sum()

    def _sum(self) -> ir.Value:
        if self._total is None:
            self._total = self._start() if self._start else ir.Constant(i32x16.ir, None)
        return self._total

    def _add_pairs(self, u: ir.Value, s: ir.Value) -> None:
        b, parts = self.b, []
        for x, y in zip(_registers(b, u), _registers(b, s), strict=True):
            parts.append(_byte_pairs(b, x, y, is_centred(self.most)))
        if self._pairs:
            parts = [_added(b, p, q) for p, q in zip(self._pairs, parts, strict=True)]
        self._pairs = parts
        self._count += 1
        if self._count == in_words(self.most):
            self._widen()

    def _widen(self) -> None:
        """Add what waits in 16 bits to the sum of 32."""
        if self._pairs is None:
            return
        b, ones = self.b, ir.Constant(WORDS, [1] * 16)
        wide = [call(b, PAIRS_OF_WORDS, DWORDS, p, ones) for p in self._pairs]
        if self._total is not None or self._start:
            sums = _registers(b, self._sum())
            wide = [_added(b, x, y) for x, y in zip(sums, wide, strict=True)]
        self._total = joined(b, wide)
        self._pairs, self._count = None, 0


class WordSum:
    """IR: the sum of products of 16-bit words, weights and activations both widened (AVX2).

    For weights above 128: as many operations as a `DotSum` of theirs, less its handling of signs.
    """

    def __init__(self, b: Any) -> None:
        self.b = b
        self._total: ir.Value | None = None

    def add(self, w: ir.Value, x: ir.Value) -> None:
        """Go on with 16 words of each."""
        b = self.b
        pairs = call(b, PAIRS_OF_WORDS, DWORDS, b.bitcast(w, WORDS), b.bitcast(x, WORDS))
        self._total = _added(b, self._total, pairs) if self._total else pairs

    def value(self) -> ir.Value:
        """The sum: 8 lanes of 32 bits."""
        return self._total


def in_words(most: int) -> int:
    """How many `dot4` of weights up to `most` can be added in 16 bits."""
    return ((1 << 15) - 1) // (2 * min(most, 128) * LARGEST_ACTIVATION)


def words_of(b: Any, signed: ir.Value) -> list[ir.Value]:
    """IR: even bytes and odd bytes of a vector, each widened to words."""
    eight = ir.VectorType(I16, signed.type.count // 2)
    words, shift = b.bitcast(signed, eight), ir.Constant(eight, [8] * eight.count)
    return [b.ashr(b.shl(words, shift), shift), b.ashr(words, shift)]


def _registers(b: Any, vector: ir.Value) -> list[ir.Value]:
    """A vector in pieces of 32 bytes."""
    return halves(b, vector, vector.type.count * vector.type.element.width // 256)


def _added(b: Any, x: ir.Value, y: ir.Value) -> ir.Value:
    return opaque(b, b.add(x, y))


def _byte_pairs(b: Any, u: ir.Value, s: ir.Value, centred: bool) -> ir.Value:
    """32 products added in pairs to 16 bits; centred: of u - 128, its sign moved to s."""
    if centred:
        w = b.xor(u, ir.Constant(u.type, [ir.Constant(I8, -128)] * 32))
        s = call(b, "llvm.x86.avx2.psign.b", u.type, s, w)
        u = call(b, "llvm.abs.v32i8", u.type, w, ir.Constant(ir.IntType(1), 0))
    return call(b, "llvm.x86.avx2.pmadd.ub.sw", WORDS, u, s)


def _signed_sdot(b: Any, acc: Any, u: Any, s: Any, centred: bool) -> Any:
    """Weights up to 127 are signed bytes as they stand."""
    if centred:
        u = b.xor(u, ir.Constant(u.type, [ir.Constant(I8, -128)] * 64))
    parts = zip(halves(b, acc, 4), halves(b, u, 4), halves(b, s, 4), strict=True)
    return joined(b, [call(b, SDOT, a.type, a, x, y) for a, x, y in parts])


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
