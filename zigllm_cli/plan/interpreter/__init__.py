"""Runs a plan in NumPy: slow, plain, and the oracle of tests.

It shares with the kernels only the description. Products use every weight as a float and
activations as they are, so for a quantised file it gives what the file means, without the
rounding of activations that makes the kernels fast.

A new operation is, in the module of the kind it has in `plan.operations`,

    @run.register(NewOperation)
    def new_operation(op: NewOperation, at: Interpreter) -> None: ...
"""

from zigllm_cli.plan.interpreter import activations as activations
from zigllm_cli.plan.interpreter import attention as attention
from zigllm_cli.plan.interpreter import elementwise as elementwise
from zigllm_cli.plan.interpreter import embedding as embedding
from zigllm_cli.plan.interpreter import experts as experts
from zigllm_cli.plan.interpreter import heads as heads
from zigllm_cli.plan.interpreter import norms as norms
from zigllm_cli.plan.interpreter import observation as observation
from zigllm_cli.plan.interpreter import products as products
from zigllm_cli.plan.interpreter import recurrent as recurrent
from zigllm_cli.plan.interpreter import rotary as rotary
from zigllm_cli.plan.interpreter import selection as selection
from zigllm_cli.plan.interpreter.interpreter import Interpreter

__all__ = ["Interpreter"]
