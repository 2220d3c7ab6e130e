"""State-space models, lowered."""

from __future__ import annotations

from collections.abc import Iterable
from math import e, log2

import numpy as np

from zigllm_cli.jit import Kernel
from zigllm_cli.kernels.selective_scan import LANES
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import SelectiveScan, ShortConvolution, Vector
from zigllm_cli.plan.states import LayerState


def _memory(lowering: Lowering, layer: int, part: int) -> tuple[int, int]:
    """(address, bytes per sequence) of a part of a layer's state."""
    state = lowering.cache.layers[layer]
    assert isinstance(state, LayerState)
    return address(state.parts[part]), state.parts[part].strides[0]


@calls.register(ShortConvolution)
def short_convolution(op: ShortConvolution, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    taps, channels = op.weight.shape
    args = (
        lowering.address_of(op.x),
        lowering.address_of(op.out),
        lowering.vector(op.weight),
        lowering.vector(op.bias),
        channels,
        taps,
        *_memory(lowering, op.layer, op.part),
        lowering.state_of(op.out),
    )
    yield Call(Kernel("short_convolution"), args, op.label)


@calls.register(SelectiveScan)
def selective_scan(op: SelectiveScan, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    a = _in_blocks(op.a) if op.per_channel else op.a
    args = (
        lowering.address_of(op.x),
        lowering.address_of(op.out),
        lowering.address_of(op.delta),
        lowering.address_of(op.b),
        lowering.address_of(op.c),
        lowering.vector((a * np.float32(log2(e))).astype(np.float32)),
        lowering.vector(op.d),
        op.heads,
        op.out.width // op.heads,
        op.groups,
        op.states,
        *_memory(lowering, op.layer, op.part),
        lowering.state_of(op.out),
    )
    variant = "channels" if op.per_channel else "heads"
    yield Call(Kernel("selective_scan", (variant,)), args, op.label)


def _in_blocks(a: Vector) -> Vector:
    """[channels, states] as [block][states][16], zeros behind the last channel."""
    channels, states = a.shape
    padded = np.zeros((-(-channels // LANES) * LANES, states), np.float32)
    padded[:channels] = a
    return np.ascontiguousarray(padded.reshape(-1, LANES, states).transpose(0, 2, 1))
