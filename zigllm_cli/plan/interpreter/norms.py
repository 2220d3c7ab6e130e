"""Norms."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Array, Interpreter, run
from zigllm_cli.plan.operations import LayerNorm, RmsNorm, Vector


@run.register(RmsNorm)
def rms_norm(op: RmsNorm, at: Interpreter) -> None:
    """x / sqrt(mean(x^2) + epsilon) * weight."""
    x = at.read(op.x).reshape(len(at.tokens), op.parts, -1)
    x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + op.epsilon)
    if op.weight is not None:
        x = x * _slices(op.weight, op, at)
    at.write(op.out, x)


@run.register(LayerNorm)
def layer_norm(op: LayerNorm, at: Interpreter) -> None:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias."""
    x = at.read(op.x).reshape(len(at.tokens), op.parts, -1)
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + op.epsilon)
    if op.weight is not None:
        x = x * _slices(op.weight, op, at)
    if op.bias is not None:
        x = x + _slices(op.bias, op, at)
    at.write(op.out, x)


def _slices(vector: Vector, op: RmsNorm | LayerNorm, at: Interpreter) -> Array:
    """One row for all slices, or a row for each."""
    return vector.astype(at.dtype).reshape(-1, op.x.width // op.parts)
