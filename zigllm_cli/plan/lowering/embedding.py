"""The lookup of the tokens in the embedding table, lowered."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.kernels import state as words
from zigllm_cli.plan.lowering.call import Call, Mode, float_word
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import Embed


@calls.register(Embed)
def embed(op: Embed, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """The tokens' rows of the table."""
    weight = op.weight
    args = (
        address(weight.data),
        weight.row_bytes,
        weight.columns,
        lowering.address_of(op.out),
        4 * op.out.width,
        int(lowering.state[words.IDS]),
        address(lowering.state),
        float_word(op.scale),
    )
    yield Call(Kernel("embed", (weight.type,)), args, op.label)
