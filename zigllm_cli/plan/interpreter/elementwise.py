"""Sums and simple functions, value by value."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import Add, AddRow, Clamp, Scale, SoftCap


@run.register(Add)
def add(op: Add, at: Interpreter) -> None:
    """out += factor * x."""
    at.write(op.out, at.read(op.out) + op.factor * at.read(op.x))


@run.register(Scale)
def scale(op: Scale, at: Interpreter) -> None:
    """out *= factor."""
    at.write(op.out, at.read(op.out) * op.factor)


@run.register(SoftCap)
def soft_cap(op: SoftCap, at: Interpreter) -> None:
    """out = cap * tanh(out / cap)."""
    at.write(op.out, op.cap * np.tanh(at.read(op.out) / op.cap))


@run.register(Clamp)
def clamp(op: Clamp, at: Interpreter) -> None:
    """Between -limit and limit."""
    at.write(op.out, np.clip(at.read(op.out), -op.limit, op.limit))


@run.register(AddRow)
def add_row(op: AddRow, at: Interpreter) -> None:
    """The row of the position, or the only one."""
    rows = op.table[at.positions] if len(op.table) > 1 else op.table
    at.write(op.out, at.read(op.out) + rows.astype(at.dtype))
