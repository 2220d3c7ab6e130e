"""Observation."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import ExpertSumSquares, SumSquares


@run.register(SumSquares)
def sum_squares(op: SumSquares, at: Interpreter) -> None:
    """sums += x^2, column by column."""
    op.sums[:] += np.square(at.read(op.out)).sum(axis=0).reshape(op.sums.shape)


@run.register(ExpertSumSquares)
def expert_sum_squares(op: ExpertSumSquares, at: Interpreter) -> None:
    """sums[e] += x^2 of the rows that go to e, column by column."""
    tokens, used = at.chosen.shape
    x = at.read(op.out).reshape(tokens, -1, op.sums.shape[1])
    x = np.broadcast_to(x, (tokens, used, op.sums.shape[1]))
    np.add.at(op.sums, at.chosen, np.square(x))
    np.add.at(op.counts, at.chosen, 1)
