"""Sums and simple functions, lowered: all are variants of one kernel."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode, float_word
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.operations import Add, AddRow, Clamp, Operation, Scale, SoftCap


def _call(
    op: Operation, lowering: Lowering, variant: str, number: float = 0.0, other: int = 0
) -> Call:
    args = (
        lowering.address_of(op.out),
        4 * op.out.width,
        op.out.width,
        float_word(number),
        other,
        lowering.state_of(op.out),
    )
    return Call(Kernel("elementwise", (variant,)), args, op.label)


@calls.register(Add)
def add(op: Add, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    yield _call(op, lowering, "add", op.factor, lowering.address_of(op.x))


@calls.register(Scale)
def scale(op: Scale, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    yield _call(op, lowering, "scale", op.factor)


@calls.register(SoftCap)
def soft_cap(op: SoftCap, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    yield _call(op, lowering, "soft_cap", op.cap)


@calls.register(Clamp)
def clamp(op: Clamp, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    yield _call(op, lowering, "clamp", op.limit)


@calls.register(AddRow)
def add_row(op: AddRow, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    variant = "add_row" if len(op.table) > 1 else "add_same"
    yield _call(op, lowering, variant, 1.0, lowering.vector(op.table))
