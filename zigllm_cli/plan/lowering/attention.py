"""Attention and its cache, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.kernels.attention_layout import POSITIONS_OF_CHUNK, scratch_bytes
from zigllm_cli.plan.cache import LayerCache
from zigllm_cli.plan.lowering.call import MANY, Call, Mode, float_word
from zigllm_cli.plan.lowering.dispatch import calls, reserve
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import Attention, StoreCache

Place = tuple[int, int, int]


@calls.register(StoreCache)
def store_cache(op: StoreCache, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    keys, values = _places(lowering, op.layer)
    args = (
        lowering.address_of(op.out),
        4 * op.out.width,
        lowering.address_of(op.values),
        4 * op.values.width,
        op.heads,
        op.key_dim,
        op.value_dim,
        *keys,
        *values,
        lowering.state_of(op.out),
    )
    kv_type = lowering.cache.kv_type
    yield Call(Kernel("cache_store", (kv_type, kv_type)), args, op.label)


def _places(lowering: Lowering, layer: int) -> tuple[Place, Place]:
    """(address, bytes per sequence, bytes per head) of a layer's keys and of its values."""
    cache = lowering.cache.layers[layer]
    assert isinstance(cache, LayerCache)
    keys, values = cache.keys, cache.values
    return (
        (address(keys), keys.strides[0], keys.strides[1]),
        (address(values), values.strides[0], values.strides[1]),
    )


@reserve.register(Attention)
def reserve_partial_results(op: Attention, lowering: Lowering) -> None:
    """Memory for what the chunks of a few tokens leave to be merged."""
    few = min(lowering.batch, MANY)
    size = scratch_bytes(few, lowering.cache.context, op.heads, op.value_dim)
    lowering.buffers.reserve("scratch", size)


@calls.register(Attention)
def attention(op: Attention, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call for many tokens; for few, one that works on chunks and one that merges them."""
    keys, values = _places(lowering, op.layer)
    args = (
        lowering.address_of(op.q),
        4 * op.q.width,
        lowering.address_of(op.out),
        4 * op.out.width,
        op.heads,
        op.kv_heads,
        op.key_dim,
        op.value_dim,
        *keys,
        *values,
        float_word(op.scale),
        float_word(op.softcap),
        op.window,
        lowering.vector(op.slopes),
        lowering.vector(op.sinks),
        lowering.state_of(op.out),
        POSITIONS_OF_CHUNK,
    )
    types = (lowering.cache.kv_type, lowering.cache.kv_type)
    if mode is Mode.MANY:
        yield Call(Kernel("attention", ("prefill", *types)), args, op.label)
        return
    group = op.heads // op.kv_heads
    yield Call(Kernel("attention", ("decode", *types, group)), args, op.label)
    yield Call(Kernel("attention_merge"), args, "merge")
