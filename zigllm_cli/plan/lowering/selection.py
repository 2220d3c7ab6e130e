"""The choice of rows, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import Select


@calls.register(Select)
def select(op: Select, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (
        lowering.address_of(op.x),
        4 * op.x.width,
        lowering.address_of(op.out),
        4 * op.out.width,
        op.x.width,
        address(lowering.state),
    )
    yield Call(Kernel("select_rows"), args, op.label)
