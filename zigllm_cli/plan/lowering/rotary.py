"""Rotary positions, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.operations import Rope


@calls.register(Rope)
def rope(op: Rope, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (
        lowering.address_of(op.out) + 4 * op.rotation.start,
        4 * op.out.width,
        op.heads,
        op.head_dim,
        op.rotation.dimensions,
        lowering.rope.address(op.rotation),
        lowering.state_of(op.out),
    )
    yield Call(Kernel("rope", (op.rotation.pairing,)), args, op.label)
