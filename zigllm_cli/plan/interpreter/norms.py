"""Norms."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import RmsNorm


@run.register(RmsNorm)
def rms_norm(op: RmsNorm, at: Interpreter) -> None:
    """x / sqrt(mean(x^2) + epsilon) * weight."""
    x = at.read(op.x).reshape(len(at.tokens), op.parts, -1)
    x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + op.epsilon)
    if op.weight is not None:
        x = x * op.weight.astype(at.dtype)
    at.write(op.out, x)
