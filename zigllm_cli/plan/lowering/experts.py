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
    MODES_OF_PANELS,
    panel_room,
    record_strides,
    records_in_row,
    records_of,
    reserve_panels,
    reserve_records,
    rounded,
    rounding,
    row_room,
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
    size = 4 * weight.columns
    if weight.type not in FLOATS:
        size = row_room(LAYOUTS[weight.type], weight.columns)
    lowering.buffers.reserve(_rows_name(weight), rows * size)
    reserve_panels(weight.type, rows, lowering)


def _rows_name(weight: Stack) -> str:
    if weight.type in FLOATS:
        return FLOAT_ROWS
    return f"expert {records_of(LAYOUTS[weight.type])}"


def _strides(weight: Stack, rows: int, mode: Mode) -> tuple[int, int]:
    """Bytes from row to row of x, floats or records, and from step to step."""
    if weight.type in FLOATS:
        return 4 * weight.columns, 4
    return record_strides(LAYOUTS[weight.type], weight.columns, rows, mode)


@calls.register(ExpertProduct)
def expert_product(op: ExpertProduct, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """x in the order of the runs, rounded if the weights are quantised; the product."""
    weight, buffers, pairs = op.weight, lowering.buffers, lowering.rows * op.route.routing.used
    (size, step), number = _strides(weight, pairs, mode), buffers.address(RUNS) + PAIRS
    if op.shares_x:
        if weight.type in FLOATS:
            x = lowering.address_of(op.x)
        else:
            yield from rounded(op.x, LAYOUTS[weight.type], lowering, mode)
            x = buffers.address(records_of(LAYOUTS[weight.type]))
        if mode is Mode.ONE:
            size = 0  # one row for all
        else:
            name = _rows_name(weight)
            if lowering.recorded.get(name) is not op.x:
                lowering.recorded[name] = op.x
                yield _gather(op, x, number, lowering, mode)
            x = buffers.address(name)
    elif weight.type in FLOATS:
        x = lowering.address_of(op.x)
    else:
        yield _records(op.x, weight, number, pairs, lowering, mode)
        x = buffers.address(_rows_name(weight))
    place = (lowering.address_of(op.out), 4 * weight.rows, lowering.vector(op.bias))
    table = (buffers.address(RUNS), 1, lowering.state_of(op.out))
    used = op.route.routing.used if mode is Mode.ONE else op.route.routing.experts
    macs = op.route.routing.used * weight.rows * weight.columns
    yield _product(weight, (x, size, *place, *table), step, mode, used, macs, op, lowering)


def _gather(op: ExpertProduct, x: int, number: int, lowering: Lowering, mode: Mode) -> Call:
    """What each pair takes of x, in the order of the runs; `number` as in `_records`."""
    weight, buffers, used = op.weight, lowering.buffers, op.route.routing.used
    size, step = _strides(weight, lowering.rows, mode)
    parts = 1
    if mode in MODES_OF_PANELS and weight.type not in FLOATS:
        parts = records_in_row(weight.columns)
    args = (
        *(x, size, buffers.address(_rows_name(weight)), buffers.address(SOURCES), used, number),
        *(parts, step, _strides(weight, lowering.rows * used, mode)[1]),
    )
    return Call(Kernel("gather_rows"), args, "gather")


def _records(
    x: Value, weight: Stack, number: int, rows: int, lowering: Lowering, mode: Mode
) -> Call:
    """The parts of x rounded, each on its own.

    Args:
        number: the address of how many there are.
        rows: how many there is room for.
    """
    name = _rows_name(weight)
    lowering.recorded[name] = x
    size, step = _strides(weight, rows, mode)
    args = (
        lowering.address_of(x),
        4 * weight.columns,
        lowering.buffers.address(name),
        size,
        weight.columns,
        number,
        step,
    )
    return Call(rounding(LAYOUTS[weight.type], mode), args, "quantize")


def _product(
    weight: Stack,
    words: tuple[int, ...],
    step: int,
    mode: Mode,
    read: int,
    macs: int,
    op: ExpertProduct | HeadProduct,
    lowering: Lowering,
) -> Call:
    matrices = np.array([address(matrix) for matrix in weight.matrices], np.int64)
    steps = steps_of(weight.type, weight.columns)
    args = (lowering.vector(matrices), weight.row_bytes, weight.rows, *steps, *words)
    if mode in MODES_OF_PANELS:
        args += (*panel_room(lowering), lowering.counter(), step)
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
    rows, state = lowering.rows * heads, lowering.state_of(op.out)
    size, step = _strides(weight, rows, mode)
    if weight.type in FLOATS:
        x = lowering.address_of(op.x)
    else:
        number = lowering.counter()
        yield Call(Kernel("count_rows"), (heads, number, state), "count")
        yield _records(op.x, weight, number, rows, lowering, mode)
        x = lowering.buffers.address(_rows_name(weight))
    runs = np.array([heads, 0, *(word for h in range(heads) for word in (h, h, -1))], np.int64)
    place = (lowering.address_of(op.out), 4 * weight.rows, 0)
    words = (x, size, *place, lowering.vector(runs), heads, state)
    macs = heads * weight.rows * weight.columns
    yield _product(weight, words, step, mode, heads, macs, op, lowering)
