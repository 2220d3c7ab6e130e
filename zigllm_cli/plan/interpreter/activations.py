"""Activations, from their definitions."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Array, Interpreter, run
from zigllm_cli.plan.operations import Activation


@run.register(Activation)
def activation(op: Activation, at: Interpreter) -> None:
    """f(gate) * up."""
    y = FUNCTIONS[op.function](at.read(op.gate))
    at.write(op.out, y * at.read(op.up) if op.up else y)


def _silu(x: Array) -> Array:
    y: Array = x / (1 + np.exp(-x))
    return y


FUNCTIONS = {"silu": _silu}
