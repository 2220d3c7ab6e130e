"""The choice of rows: all of them, since all logits are wanted here."""

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import Select


@run.register(Select)
def select(op: Select, at: Interpreter) -> None:
    """Every row."""
    at.write(op.out, at.read(op.x))
