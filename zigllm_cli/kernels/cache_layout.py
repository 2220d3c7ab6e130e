"""How keys and values of one attention head stand in the cache, byte by byte.

Keys stand in panels of 16 positions, transposed, so that a vector holds one dimension of sixteen
keys and a score is a lane; values stand in rows, one per position:

    K   panel 0 (positions 0..15)   panel 1 (16..31)   ...
        f32, f16, bf16:   [dimension][16 positions]
        q8_0: per 32 dimensions   16 f16 scales, [32 dimensions][16 positions] signed bytes
        q4_0: per 32 dimensions   16 f16 scales, [16][16 positions] bytes: dimension r in the low
                                  nibble of row r, r + 16 in the high one; value = d * (q - 8)
    V   row 0   row 1   ...
        f32, f16, bf16:   [dimension], filled up with zeros to a multiple of 16
        q8_0, q4_0:       ggml's blocks of 32, the last filled up with zeros

Every byte belongs to one position, so threads may store neighbouring positions at once. Scales
and rounding are those of ggml's Q8_0 and Q4_0 (8.5 and 4.5 bits per value).

The NumPy functions here are for what is not hot: context shift, session files, tests. Kernels
that read and write the same bytes are `cache_store` and `attention`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PANEL = 16
"""Positions of a panel of keys."""

GROUP = 32
"""Dimensions that share a scale in the quantised types."""

ALIGNMENT = 64
"""Bytes to which the keys and the values of each head and sequence should be aligned."""

BYTES = {"f32": 4, "f16": 2, "bf16": 2}
GROUP_BYTES = {"q8_0": 34, "q4_0": 18}
KV_TYPES = (*BYTES, *GROUP_BYTES)
"""The names of the types that a cache can have."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class CacheLayout:
    """Where the keys or the values of one head stand.

    Attributes:
        kv_type: one of `KV_TYPES`.
        head_dim: values per position.
    """

    kv_type: str
    head_dim: int

    def __post_init__(self) -> None:
        if self.kv_type not in KV_TYPES:
            raise ValueError(f"{self.kv_type} is not a type of a cache: use {', '.join(KV_TYPES)}")

    @property
    def groups(self) -> int:
        """Groups of 32 dimensions, the last one perhaps not full."""
        return -(-self.head_dim // GROUP)

    @property
    def k_panel_bytes(self) -> int:
        """Bytes of the keys of 16 positions; a multiple of 32."""
        if self.kv_type in BYTES:
            return PANEL * self.head_dim * BYTES[self.kv_type]
        return PANEL * self.groups * GROUP_BYTES[self.kv_type]

    @property
    def v_row_bytes(self) -> int:
        """Bytes of the values of one position."""
        if self.kv_type in BYTES:
            return -(-self.head_dim // 16) * 16 * BYTES[self.kv_type]
        return self.groups * GROUP_BYTES[self.kv_type]

    def k_bytes(self, positions: int) -> int:
        """Bytes of the keys of this many positions, whole panels, aligned."""
        return _aligned(-(-positions // PANEL) * self.k_panel_bytes)

    def v_bytes(self, positions: int) -> int:
        """Bytes of the values of this many positions, aligned."""
        return _aligned(positions * self.v_row_bytes)

    def read_k(self, memory: Bytes, first: int, count: int) -> Floats:
        """Keys of positions first .. first + count, float32 [count, head_dim].

        Args:
            memory: uint8 [bytes], the keys of one head of one sequence from position 0 on.
            first: the first position.
            count: how many.
        """
        panels = range(first // PANEL, -(-(first + count) // PANEL))
        if not count:
            return np.zeros((0, self.head_dim), np.float32)
        parts = [_unpack_panel(self, self._panel(memory, panel)) for panel in panels]
        return np.concatenate(parts)[first % PANEL :][:count]

    def write_k(self, memory: Bytes, first: int, values: Floats) -> None:
        """Store keys float32 [count, head_dim] from position `first` on; see `read_k`."""
        last = first + len(values)
        for panel in range(first // PANEL, -(-last // PANEL)):
            start, stop = max(first, PANEL * panel), min(last, PANEL * (panel + 1))
            lanes = slice(start - PANEL * panel, stop - PANEL * panel)
            _pack_panel(
                self, self._panel(memory, panel), lanes, values[start - first : stop - first]
            )

    def read_v(self, memory: Bytes, first: int, count: int) -> Floats:
        """Values of positions first .. first + count, float32 [count, head_dim].

        Args:
            memory: uint8 [bytes], the values of one head of one sequence from position 0 on.
            first: the first position.
            count: how many.
        """
        rows = self._rows(memory, first, count)
        if self.kv_type in BYTES:
            return _widen(rows, self.kv_type)[:, : self.head_dim]
        blocks = rows.reshape(count, self.groups, GROUP_BYTES[self.kv_type])
        codes = blocks[..., 2:]
        if self.kv_type == "q4_0":
            codes = np.concatenate((codes & 15, codes >> 4), axis=-1)
        scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
        values = scales * _numbers(codes, self.kv_type)
        return values.reshape(count, self.groups * GROUP)[:, : self.head_dim]

    def write_v(self, memory: Bytes, first: int, values: Floats) -> None:
        """Store values float32 [count, head_dim] from position `first` on; see `read_v`."""
        rows = self._rows(memory, first, len(values))
        if self.kv_type in BYTES:
            width = rows.shape[1] // BYTES[self.kv_type]
            padded = np.zeros((len(values), width), np.float32)
            padded[:, : self.head_dim] = values
            rows[:] = _narrow(padded, self.kv_type).view(np.uint8)
            return
        scales, codes = _quantize(self, values)
        if self.kv_type == "q4_0":
            codes = codes[..., :16] | (codes[..., 16:] << np.uint8(4))
        blocks = np.concatenate((scales[..., None].view(np.uint8), codes), axis=-1)
        rows[:] = blocks.reshape(rows.shape)

    def _panel(self, memory: Bytes, panel: int) -> Bytes:
        return memory[panel * self.k_panel_bytes : (panel + 1) * self.k_panel_bytes]

    def _rows(self, memory: Bytes, first: int, count: int) -> Bytes:
        size = self.v_row_bytes
        return memory[first * size : (first + count) * size].reshape(count, size)


def _aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


def _unpack_panel(layout: CacheLayout, panel: Bytes) -> Floats:
    """The 16 keys of a panel, float32 [16, head_dim]."""
    if layout.kv_type in BYTES:
        return _widen(panel.reshape(layout.head_dim, -1), layout.kv_type).T
    groups = panel.reshape(layout.groups, -1)
    scales = np.ascontiguousarray(groups[:, : 2 * PANEL]).view(np.float16).astype(np.float32)
    codes = groups[:, 2 * PANEL :].reshape(layout.groups, -1, PANEL)
    if layout.kv_type == "q4_0":
        codes = np.concatenate((codes & 15, codes >> 4), axis=1)
    values = scales[:, None] * _numbers(codes, layout.kv_type)
    return values.reshape(-1, PANEL)[: layout.head_dim].T


def _pack_panel(layout: CacheLayout, panel: Bytes, lanes: slice, values: Floats) -> None:
    """Store keys float32 [lanes, head_dim] in these positions of a panel."""
    if layout.kv_type in BYTES:
        numbers = panel.view(_WORDS[layout.kv_type]).reshape(layout.head_dim, PANEL)
        numbers[:, lanes] = _narrow(values, layout.kv_type).view(numbers.dtype).T
        return
    scales, codes = _quantize(layout, values)
    codes = codes.transpose(1, 2, 0)  # [group, dimension, position]
    if layout.kv_type == "q4_0":
        codes = codes[:, :16] | (codes[:, 16:] << np.uint8(4))
    groups = panel.reshape(layout.groups, -1)
    groups[:, : 2 * PANEL].view(np.float16)[:, lanes] = scales.T
    for group, bytes_of_group in zip(groups, codes, strict=True):
        group[2 * PANEL :].reshape(-1, PANEL)[:, lanes] = bytes_of_group


_WORDS: dict[str, type[np.unsignedinteger]] = {
    "f32": np.uint32,
    "f16": np.uint16,
    "bf16": np.uint16,
}


def _widen(rows: Bytes, kv_type: str) -> Floats:
    """Bytes [n, m] of floats of a type as float32."""
    rows = np.ascontiguousarray(rows)
    if kv_type == "bf16":
        return (rows.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return rows.view(np.float32 if kv_type == "f32" else np.float16).astype(np.float32)


def _narrow(values: Floats, kv_type: str) -> NDArray[np.generic]:
    """Float32 [n, m] as floats of a type, rounded to nearest even."""
    values = np.ascontiguousarray(values, np.float32)
    if kv_type == "f32":
        return values
    if kv_type == "f16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16)
    bits = values.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), bits >> 16 | 0x40, rounded).astype(np.uint16)


def _numbers(codes: Bytes, kv_type: str) -> Floats:
    """What the codes of a quantised type stand for, without their scale."""
    if kv_type == "q8_0":
        return codes.view(np.int8).astype(np.float32)
    return codes.astype(np.float32) - np.float32(8)


def _quantize(layout: CacheLayout, values: Floats) -> tuple[NDArray[np.float16], Bytes]:
    """Scales f16 [count, groups] and codes uint8 [count, groups, 32], computed as ggml does.

    Q8_0 divides the largest magnitude by 127; Q4_0 lets the value of largest magnitude be -8.
    """
    padded = np.zeros((len(values), layout.groups * GROUP), np.float32)
    padded[:, : layout.head_dim] = values
    blocks = padded.reshape(len(values), layout.groups, GROUP)
    high, low = blocks.max(axis=-1, keepdims=True), blocks.min(axis=-1, keepdims=True)
    largest = np.where(high >= -low, high, low)
    fine = layout.kv_type == "q8_0"
    scales = np.abs(largest) / np.float32(127) if fine else largest / np.float32(-8)
    inverse = np.float32(1) / np.where(scales == 0, np.float32(np.inf), scales)
    if fine:
        codes = np.rint(blocks * inverse).astype(np.int8).view(np.uint8)
    else:
        codes = np.minimum(blocks * inverse + np.float32(8.5), 15).astype(np.uint8)
    return scales[..., 0].astype(np.float16), codes
