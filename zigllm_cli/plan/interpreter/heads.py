"""Parts of heads."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import Join, Slice


@run.register(Slice)
def slice_heads(op: Slice, at: Interpreter) -> None:
    """Some floats of each head."""
    x = at.read(op.x).reshape(-1, op.heads, op.x.width // op.heads)
    at.write(op.out, x[..., op.start : op.start + op.out.width // op.heads])


@run.register(Join)
def join_heads(op: Join, at: Interpreter) -> None:
    """Heads side by side."""
    x = at.read(op.x).reshape(-1, op.heads, op.x.width // op.heads)
    y = at.read(op.y).reshape(len(x), -1, (op.out.width - op.x.width) // op.heads)
    y = np.broadcast_to(y, (len(x), op.heads, y.shape[-1]))
    at.write(op.out, np.concatenate([x, y], axis=-1))
