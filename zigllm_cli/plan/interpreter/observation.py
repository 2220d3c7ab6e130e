"""Observation."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import SumSquares


@run.register(SumSquares)
def sum_squares(op: SumSquares, at: Interpreter) -> None:
    """sums += x^2, column by column."""
    op.sums[:] += np.square(at.read(op.out)).sum(axis=0)
