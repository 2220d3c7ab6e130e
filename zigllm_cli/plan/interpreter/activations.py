"""Activations, from their definitions."""

from collections.abc import Callable
from math import erf, pi, sqrt

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Array, Interpreter, run
from zigllm_cli.plan.operations import Activation


@run.register(Activation)
def activation(op: Activation, at: Interpreter) -> None:
    """f(gate) * up."""
    if op.function == "swiglu_clamped":
        assert op.up is not None
        gate, up = np.minimum(at.read(op.gate), 7), np.clip(at.read(op.up), -7, 7)
        at.write(op.out, gate * _sigmoid(1.702 * gate) * (up + 1))
        return
    y = FUNCTIONS[op.function](at.read(op.gate))
    at.write(op.out, y * at.read(op.up) if op.up else y)


def _sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + np.exp(-x))
    return y


def _gelu(x: Array) -> Array:
    y: Array = x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2
    return y


def _gelu_erf(x: Array) -> Array:
    errors = np.array([erf(value / sqrt(2)) for value in x.ravel()])
    y: Array = x * (1 + errors.reshape(x.shape)) / 2
    return y


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu": _gelu,
    "gelu_erf": _gelu_erf,
    "gelu_quick": lambda x: x * _sigmoid(1.702 * x),
    "relu": _relu,
    "relu_squared": lambda x: _relu(x) ** 2,
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.logaddexp(0, x),
}
"""By the names that a plan has for them."""
