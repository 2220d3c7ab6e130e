"""Norms, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode, float_word
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.operations import RmsNorm


@calls.register(RmsNorm)
def rms_norm(op: RmsNorm, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (
        lowering.address_of(op.x),
        4 * op.x.width,
        lowering.address_of(op.out),
        4 * op.out.width,
        lowering.vector(op.weight),
        op.x.width,
        float_word(op.epsilon),
        lowering.state_of(op.out),
        op.parts,
    )
    yield Call(Kernel("rms_norm"), args, op.label)
