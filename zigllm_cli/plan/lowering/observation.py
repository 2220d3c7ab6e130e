"""Observation, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import SumSquares


@calls.register(SumSquares)
def sum_squares(op: SumSquares, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (
        lowering.address_of(op.out),
        4 * op.out.width,
        op.out.width,
        address(op.sums),
        lowering.state_of(op.out),
    )
    yield Call(Kernel("sum_squares"), args, op.label)
