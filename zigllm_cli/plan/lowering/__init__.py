"""From operations to calls of kernels: addresses, argument blocks, and which kernel for how many
tokens.

A plan is lowered once for one token, once for a few and once for many (`Mode`); the parts before
and behind the selection of rows (`Value.head`) choose on their own, since a prompt of 500 tokens
wants the logits of one. All modes work in the same buffers.

    call        what comes out: `Call`, `Mode`
    lowering    `Lowering`: the buffers, the step's state, and the walk over a plan
    dispatch    `calls` and `reserve`: which function lowers which operation
    norms, products, attention, ...   those functions, one module per module of `plan.operations`

A new operation is a class in `operations/KIND.py` and, in `lowering/KIND.py`,

    @calls.register(NewOperation)
    def new_operation(op: NewOperation, lowering: Lowering, mode: Mode) -> Iterable[Call]: ...

(with `@reserve.register(...)` as well if it needs memory besides its value). The module is named
below, so that it is there when a plan is lowered.
"""

from zigllm_cli.plan.lowering import activations as activations
from zigllm_cli.plan.lowering import attention as attention
from zigllm_cli.plan.lowering import elementwise as elementwise
from zigllm_cli.plan.lowering import embedding as embedding
from zigllm_cli.plan.lowering import experts as experts
from zigllm_cli.plan.lowering import heads as heads
from zigllm_cli.plan.lowering import norms as norms
from zigllm_cli.plan.lowering import observation as observation
from zigllm_cli.plan.lowering import products as products
from zigllm_cli.plan.lowering import recurrent as recurrent
from zigllm_cli.plan.lowering import rotary as rotary
from zigllm_cli.plan.lowering import selection as selection
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.lowering import Lowering

__all__ = ["Call", "Lowering", "Mode"]
