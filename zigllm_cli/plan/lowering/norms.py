"""Norms, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode, float_word
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.operations import LayerNorm, RmsNorm, Vector

Args = tuple[int, ...]


@calls.register(RmsNorm)
def rms_norm(op: RmsNorm, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (*_shared(op, lowering), _step(op.weight, op))
    yield Call(Kernel("rms_norm"), args, op.label)


@calls.register(LayerNorm)
def layer_norm(op: LayerNorm, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (*_shared(op, lowering), _step(op.weight, op), lowering.vector(op.bias))
    yield Call(Kernel("layer_norm"), (*args, _step(op.bias, op)), op.label)


def _shared(op: RmsNorm | LayerNorm, lowering: Lowering) -> Args:
    return (
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


def _step(vector: Vector | None, op: RmsNorm | LayerNorm) -> int:
    """Bytes from slice to slice of a vector: 0 where all of them share it."""
    if vector is None or len(vector) * op.parts == op.x.width:
        return 0
    return 4 * (op.x.width // op.parts)
