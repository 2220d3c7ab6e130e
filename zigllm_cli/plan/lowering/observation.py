"""Observation, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.experts import RUNS, SOURCES
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import ExpertSumSquares, SumSquares


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


@calls.register(ExpertSumSquares)
def expert_sum_squares(op: ExpertSumSquares, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (
        lowering.address_of(op.out),
        op.sums.shape[1],
        lowering.buffers.address(RUNS),
        op.route.routing.used if op.shares_x else 0,
        lowering.buffers.address(SOURCES),
        address(op.sums),
        address(op.counts),
    )
    yield Call(Kernel("expert_sum_squares"), args, op.label)
