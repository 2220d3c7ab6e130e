"""Rotary positions, as a product of complex numbers."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import Rope


@run.register(Rope)
def rope(op: Rope, at: Interpreter) -> None:
    """Each pair (a, b) as a + bi, times magnitude * exp(i angle)."""
    r = op.rotation
    x = at.read(op.out).reshape(len(at.tokens), op.heads, op.head_dim).copy()
    angles = at.positions[:, None, None] * np.asarray(r.frequencies)
    half = r.dimensions // 2
    if r.pairing == "norm":
        first, second = slice(0, r.dimensions, 2), slice(1, r.dimensions, 2)
    else:
        first, second = slice(0, half), slice(half, r.dimensions)
    of_head = x[..., r.start :]
    turned = (of_head[..., first] + 1j * of_head[..., second]) * (r.magnitude * np.exp(1j * angles))
    of_head[..., first], of_head[..., second] = turned.real, turned.imag
    at.write(op.out, x)
