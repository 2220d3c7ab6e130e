"""The KV cache: positions, copies, truncation, context shift, saved states."""

from __future__ import annotations

import numpy as np
import pytest

from zigllm_cli.errors import InputError, MemoryLimitError, UsageError
from zigllm_cli.plan.cache import Cache, CacheShape, turned
from zigllm_cli.plan.operations import Rotation

SHAPES = (CacheShape(2, 24, 40), CacheShape(1, 8, 8))
ROTATION = Rotation("norm", 16, tuple(10.0 ** (-i / 4) for i in range(8)))


def filled(kv_type: str = "f32", positions: int = 37, sequences: int = 2) -> Cache:
    """A cache whose first slot holds random keys and values."""
    cache = Cache(SHAPES, 64, sequences, kv_type)
    rng = np.random.default_rng(5)
    for layer in cache.layers:
        layer.keys[:] = 0
        layer.values[:] = 0
        for head in range(layer.shape.heads):
            keys = rng.standard_normal((positions, layer.shape.key_dim), dtype=np.float32)
            values = rng.standard_normal((positions, layer.shape.value_dim), dtype=np.float32)
            layer.k.write_k(layer.keys[0, head], 0, keys)
            layer.v.write_v(layer.values[0, head], 0, values)
    cache.lengths[0] = positions
    return cache


def read(cache: Cache, sequence: int) -> list[np.ndarray]:  # type: ignore[type-arg]
    """All keys and values of a slot, as floats."""
    length = cache.lengths[sequence]
    parts = []
    for layer in cache.layers:
        for head in range(layer.shape.heads):
            parts.append(layer.k.read_k(layer.keys[sequence, head], 0, length))
            parts.append(layer.v.read_v(layer.values[sequence, head], 0, length))
    return parts


def test_positions_must_follow() -> None:
    cache = Cache(SHAPES, 64, 2, "f16")
    cache.check_positions([0, 0, 1], [0, 1, 0])
    with pytest.raises(InputError, match="position 2 of sequence 0"):
        cache.check_positions([0, 0], [0, 2])
    with pytest.raises(InputError, match="no sequence 2"):
        cache.check_positions([2], [0])
    cache.extend([0, 0], [0, 1])
    cache.check_positions([0], [1])  # written again: what stood behind is forgotten
    cache.extend([0], [0])
    assert cache.lengths == [1, 0]


@pytest.mark.parametrize("kv_type", ["f32", "f16", "q8_0"])
def test_copy_and_state(kv_type: str) -> None:
    cache = filled(kv_type)
    cache.copy(0, 1)
    for mine, other in zip(read(cache, 0), read(cache, 1), strict=True):
        assert np.array_equal(mine, other)
    state = cache.state(0)
    again = Cache(SHAPES, 64, 2, kv_type)
    again.restore(1, state)
    for mine, other in zip(read(cache, 0), read(again, 1), strict=True):
        assert np.array_equal(mine, other)


def test_states_that_do_not_fit_are_refused() -> None:
    cache = filled()
    state = cache.state(0)
    for bad in (state[:-1], state + b"\0", b"", (10**6).to_bytes(8, "little") + state[8:]):
        with pytest.raises(InputError):
            cache.restore(1, bad)
    assert cache.lengths[1] == 0


def test_shift_moves_and_turns_back() -> None:
    cache = filled()
    before = read(cache, 0)
    cache.shift(0, keep=5, drop=9, rotations=[ROTATION, None])
    assert cache.lengths[0] == 28
    after = read(cache, 0)
    rotated = (True, False, True, False, False, False)  # keys of the first layer
    for old, new, turn in zip(before, after, rotated, strict=True):
        moved = turned(old[14:], ROTATION, -9) if turn else old[14:]
        assert np.array_equal(new[:5], old[:5])
        assert np.allclose(new[5:], moved, atol=1e-6)


def test_shift_of_nothing_and_of_everything() -> None:
    cache = filled()
    before = read(cache, 0)
    cache.shift(0, keep=3, drop=0, rotations=[ROTATION, None])
    assert all(np.allclose(a, b) for a, b in zip(before, read(cache, 0), strict=True))
    cache.shift(0, keep=3, drop=1000, rotations=[ROTATION, None])
    assert cache.lengths[0] == 3


@pytest.mark.parametrize("pairing", ["norm", "neox"])
def test_turning_keeps_the_angle_between(pairing: str) -> None:
    rng = np.random.default_rng(3)
    rotation = Rotation(pairing, 16, ROTATION.frequencies)
    q, k = rng.standard_normal((2, 1, 24), dtype=np.float32)
    near = turned(q, rotation, 7) @ turned(k, rotation, 4).T
    far = turned(q, rotation, 107) @ turned(k, rotation, 104).T
    assert np.allclose(near, far, atol=1e-4)
    assert np.allclose(turned(turned(q, rotation, 5), rotation, -5), q, atol=1e-6)


def test_what_cannot_be() -> None:
    with pytest.raises(UsageError, match="q5_1"):
        Cache(SHAPES, 64, 1, "q5_1")
    with pytest.raises(MemoryLimitError, match="choose a smaller --ctx"):
        Cache(SHAPES, 1 << 42, 1, "f16")
