"""Lanes in another order, by constant patterns; and vectors put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zigllm_cli.simd.emit import emit, shuffle
from zigllm_cli.simd.vector import Vec, f32x8, f32x16, u8x16, u8x32, u8x64


def permute(source: Vec, lanes: Sequence[int], result: Vec | None = None) -> Any:
    """An operation (v): its lanes in this order; `result` where there are more or fewer."""

    def permuted(b: Any, v: Any) -> Any:
        return shuffle(b, v, v, lanes)

    return emit(result or source, source)(permuted)


def blend(source: Vec, lanes: Sequence[int], result: Vec | None = None) -> Any:
    """An operation (v, w): lanes of v, numbered from 0, and of w, numbered on."""

    def blended(b: Any, v: Any, w: Any) -> Any:
        return shuffle(b, v, w, lanes)

    return emit(result or source, source, source)(blended)


concat_u8x32 = blend(u8x16, range(32), u8x32)
concat_u8x64 = blend(u8x32, range(64), u8x64)
concat_f32x16 = blend(f32x8, range(16), f32x16)


def _within_sixteen(size: int, start: int) -> list[int]:
    """Bytes for `blend`: in every 16, pieces of `size` bytes of v and w in turn, from `start`."""
    half = [start + i for i in range(8)]
    pieces = [half[i : i + size] for i in range(0, 8, size)]
    both = [byte for piece in pieces for byte in (*piece, *(64 + i for i in piece))]
    return [16 * quarter + byte for quarter in range(4) for byte in both]


# Named as (pieces of 4 or 8 bytes, lower or upper half of every 16 bytes): never across them,
# which is one instruction on every machine.
interleave_low_4 = blend(u8x64, _within_sixteen(4, 0))
interleave_high_4 = blend(u8x64, _within_sixteen(4, 8))
interleave_low_8 = blend(u8x64, _within_sixteen(8, 0))
interleave_high_8 = blend(u8x64, _within_sixteen(8, 8))
