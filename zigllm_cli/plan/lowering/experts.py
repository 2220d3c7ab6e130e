"""Mixture of experts, lowered.

Routing is followed by a sort of the step's (token, expert) pairs by expert. Everything until the
weighted sum works in that order, in which each expert's pairs stand together: its weights are
read once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zigllm_cli.jit import Kernel
from zigllm_cli.kernels.expert_runs import LIST, PAIRS, RUN
from zigllm_cli.plan.lowering.call import Call, Mode, float_word
from zigllm_cli.plan.lowering.dispatch import calls, reserve
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.lowering.products import (
    FLOATS,
    panel_room,
    record_bytes,
    records_of,
    representative,
    reserve_panels,
    reserve_records,
    rounded,
    steps_of,
)
from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import ExpertProduct, HeadProduct, Route, Stack, Value, WeightedSum
from zigllm_cli.quants.layouts import LAYOUTS

CHOSEN, RUNS, SOURCES, PLACES = "experts", "expert runs", "expert sources", "expert places"
"""Names of the buffers that a `Route` fills; the next one fills them anew."""

FLOAT_ROWS = "expert x"


@reserve.register(Route)
def reserve_route(op: Route, lowering: Lowering) -> None:
    """Memory for what is chosen, and for the sorted pairs."""
    pairs = lowering.rows * op.routing.used
    for name in (CHOSEN, SOURCES, PLACES):
        lowering.buffers.reserve(name, 8 * pairs)
    lowering.buffers.reserve(RUNS, LIST + RUN * op.routing.experts)


@calls.register(Route)
def route(op: Route, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """The choice, and the sort."""
    buffers, how, state = lowering.buffers, op.routing, lowering.state_of(op.out)
    choose = (
        lowering.address_of(op.logits),
        how.experts,
        how.used,
        lowering.vector(op.bias),
        how.groups,
        how.groups_used,
        int(how.normalise),
        float_word(how.factor),
        buffers.address(CHOSEN),
        lowering.address_of(op.out),
        state,
    )
    yield Call(Kernel("route", (how.scores,)), choose, op.label)
    tables = (buffers.address(name) for name in (RUNS, SOURCES, PLACES))
    sort = (buffers.address(CHOSEN), how.used, how.experts, *tables, state)
    yield Call(Kernel("expert_runs"), sort, "sort")


@reserve.register(ExpertProduct)
def reserve_expert_product(op: ExpertProduct, lowering: Lowering) -> None:
    """Memory for the experts' x in the order of the runs, and for panels."""
    weight, pairs = op.weight, lowering.rows * op.route.routing.used
    _reserve_rows(weight, pairs, lowering)
    if op.shares_x:
        reserve_records(weight.type, weight.columns, lowering)


def _reserve_rows(weight: Stack, rows: int, lowering: Lowering) -> None:
    lowering.buffers.reserve(_rows_name(weight), rows * _row_bytes(weight))
    reserve_panels(weight.type, rows, lowering)


def _rows_name(weight: Stack) -> str:
    if weight.type in FLOATS:
        return FLOAT_ROWS
    return f"expert {records_of(LAYOUTS[weight.type])}"


def _row_bytes(weight: Stack) -> int:
    """Bytes of x for one product: floats, or records."""
    if weight.type in FLOATS:
        return 4 * weight.columns
    return record_bytes(LAYOUTS[weight.type], weight.columns)


@calls.register(ExpertProduct)
def expert_product(op: ExpertProduct, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """x in the order of the runs, rounded if the weights are quantised; the product."""
    weight, buffers = op.weight, lowering.buffers
    size, number = _row_bytes(weight), buffers.address(RUNS) + PAIRS
    if op.shares_x:
        if weight.type in FLOATS:
            x = lowering.address_of(op.x)
        else:
            yield from rounded(op.x, LAYOUTS[weight.type], lowering)
            x = buffers.address(records_of(LAYOUTS[weight.type]))
        if mode is Mode.ONE:
            size = 0  # one row for all
        else:
            name = _rows_name(weight)
            if lowering.recorded.get(name) is not op.x:
                lowering.recorded[name] = op.x
                used = op.route.routing.used
                args = (x, size, buffers.address(name), buffers.address(SOURCES), used, number)
                yield Call(Kernel("gather_rows"), args, "gather")
            x = buffers.address(name)
    elif weight.type in FLOATS:
        x = lowering.address_of(op.x)
    else:
        yield _records(op.x, weight, number, lowering)
        x = buffers.address(_rows_name(weight))
    place = (lowering.address_of(op.out), 4 * weight.rows, lowering.vector(op.bias))
    table = (buffers.address(RUNS), 1, lowering.state_of(op.out))
    used = op.route.routing.used if mode is Mode.ONE else op.route.routing.experts
    macs = op.route.routing.used * weight.rows * weight.columns
    yield _product(weight, (x, size, *place, *table), mode, used, macs, op, lowering)


def _records(x: Value, weight: Stack, number: int, lowering: Lowering) -> Call:
    """The parts of x rounded, each on its own; `number` is the address of how many there are."""
    name = _rows_name(weight)
    lowering.recorded[name] = x
    args = (
        lowering.address_of(x),
        4 * weight.columns,
        lowering.buffers.address(name),
        _row_bytes(weight),
        weight.columns,
        number,
    )
    kernel = Kernel("activations", (representative(LAYOUTS[weight.type]),))
    return Call(kernel, args, "quantize")


def _product(
    weight: Stack,
    words: tuple[int, ...],
    mode: Mode,
    read: int,
    macs: int,
    op: ExpertProduct | HeadProduct,
    lowering: Lowering,
) -> Call:
    matrices = np.array([address(matrix) for matrix in weight.matrices], np.int64)
    steps = steps_of(weight.type, weight.columns)
    args = (lowering.vector(matrices), weight.row_bytes, weight.rows, *steps, *words)
    if mode in (Mode.SEVERAL, Mode.MANY):
        args += (*panel_room(lowering), lowering.counter())
        kernel = Kernel("expert_panels", (weight.type,))
    else:
        kernel = Kernel("expert_rows", (weight.type, int(mode is Mode.FEW)))
    detail = f"{weight.type} {weight.columns} x {weight.rows} x {len(weight.matrices)}"
    size = read * weight.rows * weight.row_bytes
    return Call(kernel, args, op.label, detail, size, macs, op.out.head)


@calls.register(WeightedSum)
def weighted_sum(op: WeightedSum, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """One call."""
    args = (
        lowering.address_of(op.y),
        lowering.address_of(op.weights),
        lowering.buffers.address(PLACES) if op.route else 0,
        op.weights.width,
        lowering.address_of(op.out),
        op.out.width,
        int(op.add),
        lowering.state_of(op.out),
    )
    yield Call(Kernel("weighted_sum"), args, op.label)


# ------------------------------------------------------------------ a matrix per head


@reserve.register(HeadProduct)
def reserve_head_product(op: HeadProduct, lowering: Lowering) -> None:
    """Memory for the heads' x, and for panels."""
    _reserve_rows(op.weight, lowering.rows * len(op.weight.matrices), lowering)


@calls.register(HeadProduct)
def head_product(op: HeadProduct, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """As with experts, all of which have one pair per token: x needs no other order."""
    weight, heads = op.weight, len(op.weight.matrices)
    state = lowering.state_of(op.out)
    if weight.type in FLOATS:
        x = lowering.address_of(op.x)
    else:
        number = lowering.counter()
        yield Call(Kernel("count_rows"), (heads, number, state), "count")
        yield _records(op.x, weight, number, lowering)
        x = lowering.buffers.address(_rows_name(weight))
    runs = np.array([heads, 0, *(word for h in range(heads) for word in (h, h, -1))], np.int64)
    place = (lowering.address_of(op.out), 4 * weight.rows, 0)
    words = (x, _row_bytes(weight), *place, lowering.vector(runs), heads, state)
    macs = heads * weight.rows * weight.columns
    yield _product(weight, words, mode, heads, macs, op, lowering)
