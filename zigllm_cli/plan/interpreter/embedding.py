"""The lookup of the tokens in the embedding table."""

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import Embed


@run.register(Embed)
def embed(op: Embed, at: Interpreter) -> None:
    """Rows of the table."""
    at.write(op.out, at.weight(op.weight)[at.tokens] * op.scale)
