"""Activations of feed-forward blocks, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.operations import Activation


@calls.register(Activation)
def activation(op: Activation, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (
        lowering.address_of(op.gate),
        lowering.address_of(op.up) if op.up else 0,
        lowering.address_of(op.out),
        op.out.width,
        4 * op.out.width,
        lowering.state_of(op.out),
    )
    yield Call(Kernel("silu_mul", (op.function, int(op.up is not None))), args, op.label)
