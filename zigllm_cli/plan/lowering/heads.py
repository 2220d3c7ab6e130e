"""Parts of heads, lowered: each a copy."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.operations import Join, Slice, Value


def _copy(
    x: Value, out: Value, heads: int, count: int, start: int, to: int, lowering: Lowering
) -> Call:
    """`count` floats of each head of x from `start` on, to each head of out from `to` on."""
    x_head = 0 if x.width == count and heads > 1 else 4 * (x.width // heads)
    args = (
        lowering.address_of(x) + 4 * start,
        4 * x.width,
        x_head,
        lowering.address_of(out) + 4 * to,
        4 * out.width,
        4 * (out.width // heads),
        heads,
        count,
        lowering.state_of(out),
    )
    return Call(Kernel("copy_heads"), args, "copy")


@calls.register(Slice)
def slice_heads(op: Slice, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One copy."""
    yield _copy(op.x, op.out, op.heads, op.out.width // op.heads, op.start, 0, lowering)


@calls.register(Join)
def join_heads(op: Join, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """Two copies."""
    first = op.x.width // op.heads
    yield _copy(op.x, op.out, op.heads, first, 0, 0, lowering)
    yield _copy(op.y, op.out, op.heads, op.out.width // op.heads - first, 0, first, lowering)
