"""Codes of few bits and packed signs to unsigned bytes: what follows a look-up in a code book.

A weight becomes offset + level or offset - level. Signs come as one byte for eight weights, or
as seven bits, whose parity is the eighth sign. With byte permutes a small table is indexed by
codes and signs together, and one affine map over bits (GF(2), where parity is linear too) puts
every sign bit where the index wants it; without, the same is plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from zigllm_cli.simd.codebook import constants, four_vectors, two_planes
from zigllm_cli.simd.emit import call, emit, shuffle
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.vector import I8, I16, u8x64

WORDS = ir.VectorType(I16, 32)
Values = Sequence[ir.Value]


def signed_octets(name: str, levels: Sequence[int], offset: int, parity: bool) -> Any:
    """An operation (codes u8x64, signs u8x64): four vectors, weight 4j + v in byte j of v.

    Args:
        name: for the constants in the object code.
        levels: the three magnitudes that codes stand for.
        offset: added to the signed weights.
        parity: seven signs in bits 1..7 of a byte and their parity the eighth; else eight.

    Byte j of the codes holds four codes of two bits, the upper byte of word j // 2 their signs.
    """

    def value(code: int, sign: int) -> int:
        return offset + (-1 if sign else 1) * levels[min(code, 2)]

    # Two codes and two signs index each table: c0 c1 s0 s1 and s2 s3 c2 c3, lowest bits first.
    tables = [
        [value(i & 3, i >> 4 & 1) for i in range(64)],
        [value(i >> 2 & 3, i >> 5 & 1) for i in range(64)],
        [value(i >> 2 & 3, i & 1) for i in range(64)],
        [value(i >> 4 & 3, i >> 1 & 1) for i in range(64)],
    ]
    matrix = _sign_matrix([2, 3, 0, 1, 6, 7, 4, 5], parity)
    windows = [(16 * (i // 2) + (10 if i % 2 else 6)) % 64 for i in range(64)]
    low = [15] * 64

    def by_tables(b: Any, codes: Any, signs: Any) -> Any:
        linear, control, mask, *entries = constants(b, name, matrix, windows, low, *tables)
        ordered = _affine(b, signs, linear)
        spread = call(b, "llvm.x86.avx512.pmultishift.qb.512", u8x64.ir, control, ordered)
        first = _merge(b, codes, spread, mask)
        second = _shift_words(b, _merge(b, spread, codes, mask), 2)
        pairs = zip(entries, (first, first, second, second), strict=True)
        return _four(b, [_permute(b, table, index) for table, index in pairs])

    def by_arithmetic(b: Any, codes: Any, signs: Any) -> Any:
        upper = shuffle(b, signs, signs, [i | 1 for i in range(64)])
        parts = [b.and_(b.lshr(codes, _bytes(2 * v)), _bytes(3)) for v in range(4)]
        return _four(b, _signed(b, parts, _four_signs(b, upper, parity), levels, offset))

    build = by_tables if current().name == "avx512" else by_arithmetic
    return emit(four_vectors, u8x64, u8x64)(build)


def signed_quartets(name: str, levels: Sequence[int], offset: int, parity: bool) -> Any:
    """An operation (planes, signs u8x64): four vectors, weight 4j + v in byte j of vector v.

    Arguments as of `signed_octets`, with eight levels. Byte j of the two planes holds four codes
    of three bits, in nibbles; both bytes of word j // 2 of `signs` their signs.
    """
    table = [offset + (-1 if i & 8 else 1) * levels[i & 7] for i in range(16)] * 4
    matrix = _sign_matrix([0, 2, 4, 6, 1, 3, 5, 7], parity)
    # the signs of a plane's codes come to stand above them, in bits 3 and 7
    windows = [
        [(16 * (i // 2) + start[i % 2]) % 64 for i in range(64)] for start in ((5, 7), (6, 8))
    ]
    sign_bits = [0x77] * 64

    def by_tables(b: Any, planes: Any, signs: Any) -> Any:
        kept = constants(b, name, matrix, *windows, sign_bits, table)
        linear, *controls, mask, entries = kept
        ordered = _affine(b, signs, linear)
        result = []
        for plane, control in enumerate(controls):
            spread = call(b, "llvm.x86.avx512.pmultishift.qb.512", u8x64.ir, control, ordered)
            index = _merge(b, b.extract_value(planes, plane), spread, mask)
            result += [index, _shift_words(b, index, 4)]
        return _four(b, [_permute(b, entries, index) for index in result])

    def by_arithmetic(b: Any, planes: Any, signs: Any) -> Any:
        parts = []
        for plane in range(2):
            codes = b.extract_value(planes, plane)
            parts += [b.and_(codes, _bytes(7)), b.lshr(codes, _bytes(4))]
        return _four(b, _signed(b, parts, _four_signs(b, signs, parity), levels, offset))

    build = by_tables if current().name == "avx512" else by_arithmetic
    return emit(four_vectors, two_planes, u8x64)(build)


def _bytes(value: int) -> ir.Constant:
    return u8x64.constant([value] * 64)


def _four(b: Any, vectors: Values) -> ir.Value:
    result = ir.Constant(four_vectors.ir, ir.Undefined)
    for v, vector in enumerate(vectors):
        result = b.insert_value(result, vector, v)
    return result


def _sign_matrix(order: Sequence[int], parity: bool) -> list[int]:
    """The map of a byte of signs to one whose bit k is sign order[k], for every 64-bit part."""
    seven = [1 << (sign + 1) for sign in range(7)] + [0xFE]
    sources = seven if parity else [1 << sign for sign in range(8)]
    return [sources[order[bit]] for bit in reversed(range(8))] * 8


def _affine(b: Any, v: ir.Value, matrix: ir.Value) -> ir.Value:
    return call(b, "llvm.x86.vgf2p8affineqb.512", u8x64.ir, v, matrix, ir.Constant(I8, 0))


def _permute(b: Any, table: ir.Value, index: ir.Value) -> ir.Value:
    return call(b, "llvm.x86.avx512.permvar.qi.512", u8x64.ir, table, index)


def _merge(b: Any, x: ir.Value, y: ir.Value, mask: ir.Value) -> ir.Value:
    """Bits of x where the mask is set, else of y: one ternary instruction."""
    return b.or_(b.and_(x, mask), b.and_(y, b.not_(mask)))


def _shift_words(b: Any, v: ir.Value, count: int) -> ir.Value:
    amount = ir.Constant(WORDS, [ir.Constant(I16, count)] * 32)
    return b.bitcast(b.lshr(b.bitcast(v, WORDS), amount), u8x64.ir)


def _four_signs(b: Any, signs: ir.Value, parity: bool) -> ir.Value:
    """Of the eight signs in both bytes of a word: the low four in byte 0, the others in byte 1."""
    if parity:
        signs = b.lshr(signs, _bytes(1))
        fold = signs
        for count in (4, 2, 1):
            fold = b.xor(fold, b.lshr(fold, _bytes(count)))
        signs = b.or_(signs, b.shl(fold, _bytes(7)))
    upper = b.lshr(signs, _bytes(4))
    return shuffle(b, signs, upper, [i + 64 * (i % 2) for i in range(64)])


def _signed(b: Any, codes: Values, signs: Any, levels: Sequence[int], offset: int) -> list[Any]:
    """Codes of weights 4j + v and their signs in bit v: offset + level or offset - level."""
    step = levels[1] - levels[0]
    result = []
    for v, code in enumerate(codes):
        level = b.add(b.mul(code, _bytes(step)), _bytes(levels[0]))
        for k, exact in enumerate(levels):
            if exact != levels[0] + k * step:
                level = b.select(b.icmp_unsigned("==", code, _bytes(k)), _bytes(exact), level)
        negative = b.icmp_unsigned("!=", b.and_(signs, _bytes(1 << v)), _bytes(0))
        signed = b.select(negative, b.sub(_bytes(offset), level), b.add(_bytes(offset), level))
        result.append(signed)
    return result
