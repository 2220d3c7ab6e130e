"""The KV cache: keys and values of every layer, several sequences side by side.

Each sequence has a slot with room for the whole context. The memory is a fresh mapping, so it
costs only what has been written. How one head's keys and values stand is `kernels.cache_layout`.

Layers of state-space models keep a state instead (`states`). It knows only the newest position: a
sequence with one can go on or begin anew, but not go back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import InputError, MemoryLimitError, UnsupportedError, UsageError
from zigllm_cli.kernels.attention_layout import MAX_DIM
from zigllm_cli.kernels.cache_layout import KV_TYPES, CacheLayout
from zigllm_cli.machine import memory_limit
from zigllm_cli.plan.memory import aligned
from zigllm_cli.plan.operations import Rotation
from zigllm_cli.plan.states import LayerState, StateShape

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class CacheShape:
    """Keys and values of one layer: heads, and floats per head."""

    heads: int
    key_dim: int
    value_dim: int

    def __post_init__(self) -> None:
        for dim in (self.key_dim, self.value_dim):
            if dim > MAX_DIM:
                raise UnsupportedError(
                    f"attention heads of {dim} values cannot be run: at most {MAX_DIM}"
                )


LayerShape = CacheShape | StateShape


class LayerCache:
    """Keys and values of one layer.

    Attributes:
        keys: uint8 [sequences, heads, bytes].
        values: uint8 [sequences, heads, bytes].
    """

    def __init__(self, shape: CacheShape, kv_type: str, context: int, sequences: int) -> None:
        self.shape = shape
        self.k, self.v = CacheLayout(kv_type, shape.key_dim), CacheLayout(kv_type, shape.value_dim)
        heads = (sequences, shape.heads)
        k_bytes, v_bytes = self.k.k_bytes(context), self.v.v_bytes(context)
        self.keys = aligned(sequences * shape.heads * k_bytes).reshape(*heads, k_bytes)
        self.values = aligned(sequences * shape.heads * v_bytes).reshape(*heads, v_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes at full context."""
        return self.keys.nbytes + self.values.nbytes

    def used(self, sequence: int, length: int) -> Iterator[Bytes]:
        """The bytes in which the first `length` positions stand, head by head."""
        k_bytes = -(-length // 16) * self.k.k_panel_bytes
        v_bytes = length * self.v.v_row_bytes
        for head in range(self.shape.heads):
            yield self.keys[sequence, head, :k_bytes]
            yield self.values[sequence, head, :v_bytes]


class Cache:
    """All layers, and how far each sequence's slot is filled.

    Args:
        layers: the shape of each layer.
        context: positions per sequence.
        sequences: slots.
        kv_type: one of `KV_TYPES`.

    Attributes:
        recurrent: whether a layer has a state, so that sequences cannot go back.

    Raises:
        UsageError: no such type.
        MemoryLimitError: it could not be filled on this machine.
    """

    def __init__(
        self, layers: Sequence[LayerShape], context: int, sequences: int, kv_type: str
    ) -> None:
        if kv_type not in KV_TYPES:
            raise UsageError(f"a KV cache of type {kv_type} is unknown: use {', '.join(KV_TYPES)}")
        self.context, self.sequences, self.kv_type = context, sequences, kv_type
        self._refuse_too_large(layers)
        self.layers = [
            LayerState(shape, sequences)
            if isinstance(shape, StateShape)
            else LayerCache(shape, kv_type, context, sequences)
            for shape in layers
        ]
        self.recurrent = any(isinstance(layer, LayerState) for layer in self.layers)
        self.lengths = [0] * sequences

    def _refuse_too_large(self, layers: Sequence[LayerShape]) -> None:
        size = 0
        for shape in layers:
            if isinstance(shape, StateShape):
                size += shape.nbytes * self.sequences
                continue
            keys = CacheLayout(self.kv_type, shape.key_dim).k_bytes(self.context)
            values = CacheLayout(self.kv_type, shape.value_dim).v_bytes(self.context)
            size += (keys + values) * shape.heads * self.sequences
        limit = memory_limit()
        if limit is not None and size > limit:
            raise MemoryLimitError(
                f"a context of {self.context} needs {size / 2**30:.1f} GiB of KV cache, but this"
                f" machine has {limit / 2**30:.1f} GiB: choose a smaller --ctx or --kv-type"
            )

    @property
    def nbytes(self) -> int:
        """Bytes at full context."""
        return sum(layer.nbytes for layer in self.layers)

    # -------------------------------------------------------------- lengths

    def check_positions(self, sequences: Sequence[int], positions: Sequence[int]) -> None:
        """Refuse a batch that leaves a gap in a sequence: what stands there was never written."""
        lengths = list(self.lengths)
        for sequence, position in zip(sequences, positions, strict=True):
            if not 0 <= sequence < self.sequences:
                raise InputError(f"there is no sequence {sequence}: the cache has {self.sequences}")
            length = lengths[sequence]
            if position == length:
                lengths[sequence] = length + 1
            elif not 0 <= position < length:
                raise InputError(
                    f"position {position} of sequence {sequence} does not follow its {length}"
                )
            elif self.recurrent and position:
                raise InputError(
                    f"position {position} of sequence {sequence} has been evaluated: a recurrent"
                    " model cannot go back, only begin anew"
                )

    def begin(self, sequences: Sequence[int]) -> None:
        """Note that a step is about to change these sequences' states.

        If it never gets to `extend`, as after Ctrl-C, they are known to be good for nothing.
        """
        if self.recurrent:
            for sequence in sequences:
                self.lengths[sequence] = 0

    def extend(self, sequences: Sequence[int], positions: Sequence[int]) -> None:
        """Note that these positions have been written: each is the newest of its sequence."""
        for sequence, position in zip(sequences, positions, strict=True):
            self.lengths[sequence] = position + 1

    def truncate(self, sequence: int, length: int) -> None:
        """Forget positions from `length` on, or all of them where the states cannot go back."""
        kept = min(self.lengths[sequence], max(length, 0))
        if self.recurrent and kept < self.lengths[sequence]:
            kept = 0
        self.lengths[sequence] = kept

    def copy(self, source: int, target: int) -> None:
        """Make one slot hold what another holds."""
        length = self.lengths[source]
        for layer in self.layers:
            pairs = zip(layer.used(source, length), layer.used(target, length), strict=True)
            for old, new in pairs:
                new[:] = old
        self.lengths[target] = length

    # -------------------------------------------------------------- context shift

    def shift(
        self, sequence: int, keep: int, drop: int, rotations: Sequence[Rotation | None]
    ) -> None:
        """Drop positions keep..keep+drop; later ones move down.

        Args:
            rotations: of each layer's keys, which turn back by the distance they move.

        Raises:
            UsageError: the model is recurrent.
        """
        if self.recurrent:
            raise UsageError(
                "a recurrent model cannot forget part of its text: do without --context-shift, and"
                " choose a larger --ctx, which costs it nothing"
            )
        length = self.lengths[sequence]
        drop = max(min(drop, length - keep), 0)
        first, count = keep + drop, length - keep - drop
        for layer, rotation in zip(self.layers, rotations, strict=True):
            assert isinstance(layer, LayerCache)
            for head in range(layer.shape.heads):
                keys, values = layer.keys[sequence, head], layer.values[sequence, head]
                moved = layer.k.read_k(keys, first, count)
                if rotation is not None:
                    moved = turned(moved, rotation, -drop)
                layer.k.write_k(keys, keep, moved)
                row = layer.v.v_row_bytes
                rest = values[first * row : length * row].copy()
                values[keep * row : (keep + count) * row] = rest
        self.lengths[sequence] = keep + count

    # -------------------------------------------------------------- state

    def state(self, sequence: int) -> bytes:
        """Keys and values of a slot, as `restore` takes them on a cache of the same shape."""
        length = self.lengths[sequence]
        head = length.to_bytes(8, "little")
        return head + b"".join(
            part.tobytes() for layer in self.layers for part in layer.used(sequence, length)
        )

    def restore(self, sequence: int, state: bytes) -> None:
        """Put back what `state` gave.

        Raises:
            InputError: it has not the size that this cache's shape needs.
        """
        length = int.from_bytes(state[:8], "little")
        if length > self.context:
            raise InputError(
                f"a saved state of {length} positions exceeds the context of {self.context}"
            )
        parts = [part for layer in self.layers for part in layer.used(sequence, length)]
        if len(state) != 8 + sum(part.nbytes for part in parts):
            raise InputError("a saved state does not fit this model and KV type, or is truncated")
        place = 8
        for part in parts:
            part[:] = np.frombuffer(state, np.uint8, part.nbytes, place)
            place += part.nbytes
        self.lengths[sequence] = length


def turned(keys: NDArray[np.float32], rotation: Rotation, distance: int) -> NDArray[np.float32]:
    """Keys [positions, dim] rotated on by `distance` positions."""
    angles = distance * np.asarray(rotation.frequencies)
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    half = rotation.dimensions // 2
    if rotation.pairing == "norm":
        first, second = slice(0, rotation.dimensions, 2), slice(1, rotation.dimensions, 2)
    else:
        first, second = slice(0, half), slice(half, rotation.dimensions)
    result = keys.copy()
    old, new = keys[:, rotation.start :], result[:, rotation.start :]
    new[:, first] = old[:, first] * cos - old[:, second] * sin
    new[:, second] = old[:, first] * sin + old[:, second] * cos
    return result
