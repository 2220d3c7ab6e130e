"""Matrix products, every weight a float."""

from zigllm_cli.plan.interpreter.interpreter import Interpreter, run
from zigllm_cli.plan.operations import Product


@run.register(Product)
def product(op: Product, at: Interpreter) -> None:
    """W x + bias."""
    y = at.read(op.x) @ at.weight(op.weight).T
    if op.bias is not None:
        y = y + op.bias.astype(at.dtype)
    at.write(op.out, at.read(op.out) + y if op.add else y)
