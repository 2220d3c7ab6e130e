"""Matrix products, lowered: activations rounded to the layout that the weights want, then rows or
panels of weights."""

from __future__ import annotations

from collections.abc import Iterable

from zigllm_cli.jit import Kernel
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls, reserve
from zigllm_cli.plan.lowering.lowering import Lowering
from zigllm_cli.plan.memory import address
from zigllm_cli.plan.operations import Product, Value
from zigllm_cli.quants.layouts import LAYOUTS, STEP, Layout

FLOATS = ("F32", "F16", "BF16")

MODES_OF_PANELS = (Mode.SEVERAL, Mode.MANY)
"""Those whose products unpack weights to panels."""

PANEL_ROWS = 64
"""Rows of weights that a thread multiplies with all tokens at a time, at most."""

FLOAT_PANELS, PANELS = 4 * PANEL_ROWS * 512, PANEL_ROWS * (STEP + 4 * 16 + 4 * 16)
"""Bytes of those rows, unpacked, that stand in the first-level cache at a time."""


@reserve.register(Product)
def reserve_product(op: Product, lowering: Lowering) -> None:
    """Memory for rounded activations, and for the panels of each thread."""
    reserve_records(op.weight.type, op.weight.columns, lowering)
    reserve_panels(op.weight.type, lowering.rows, lowering)


def reserve_records(kind: str, columns: int, lowering: Lowering) -> None:
    """Memory for rows of activations as weights of a type want them: none for floats."""
    if kind not in FLOATS:
        size = lowering.rows * row_room(LAYOUTS[kind], columns)
        lowering.buffers.reserve(records_of(LAYOUTS[kind]), size)


def row_room(layout: Layout, columns: int) -> int:
    """Bytes that a row's records take at most, however they stand."""
    strides = record_strides(layout, columns, 1, Mode.FEW)
    return max(strides[0], records_in_row(columns) * layout.panel_record)


def records_in_row(columns: int) -> int:
    """Records of 256 values, the last one perhaps not full."""
    return -(-columns // STEP)


def record_strides(layout: Layout, columns: int, rows: int, mode: Mode) -> tuple[int, int]:
    """Bytes from one row's records to the next row's, and from one record of a row to the next.

    Many rows stand step by step, as panels of weights meet them. Few stand row by row, each a
    record later in its page than the one before: so the records of a step lie in different sets
    of the caches.

    Args:
        rows: that there is room for.
        mode: whose kernels read them.
    """
    if mode in MODES_OF_PANELS:
        return layout.panel_record, rows * layout.panel_record
    size = records_in_row(columns) * layout.record
    return size + (layout.record - size) % 4096, layout.record


def steps_of(kind: str, columns: int) -> tuple[int, int]:
    """How kernels count along a row: (steps, blocks of 32 behind them), or (values, 0)."""
    return (columns, 0) if kind in FLOATS else (columns // STEP, columns % STEP // 32)


def reserve_panels(kind: str, rows: int, lowering: Lowering) -> None:
    """Memory of each thread for unpacked weights, and for its sums with so many rows of x."""
    room = (FLOAT_PANELS if kind in FLOATS else PANELS) + 4 * PANEL_ROWS * rows
    lowering.buffers.reserve("panels", lowering.threads * -(-room // 4096) * 4096)


def panel_room(lowering: Lowering) -> tuple[int, int]:
    """Where the panels stand, and how many bytes each thread has."""
    size = len(lowering.buffers.block("panels")) // lowering.threads
    return lowering.buffers.address("panels"), size // 4096 * 4096


@calls.register(Product)
def product(op: Product, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """The rounding of x, where the weights are quantised and it is not done yet; the product."""
    weight = op.weight
    if weight.type in FLOATS:
        x, stride, step, module = lowering.address_of(op.x), 4 * op.x.width, 4, "float_"
    else:
        layout = LAYOUTS[weight.type]
        yield from rounded(op.x, layout, lowering, mode)
        x, module = lowering.buffers.address(records_of(layout)), ""
        stride, step = record_strides(layout, weight.columns, lowering.rows, mode)
    args = [
        address(weight.data),
        weight.row_bytes,
        weight.rows,
        *steps_of(weight.type, weight.columns),
        x,
        stride,
        lowering.address_of(op.out),
        4 * op.out.width,
        lowering.vector(op.bias),
        int(op.add),
        lowering.state_of(op.out),
    ]
    if mode in MODES_OF_PANELS:
        args += [*panel_room(lowering), lowering.counter(), step]
        kernel = Kernel(module + "panels", (weight.type,))
    else:
        kernel = Kernel(module + "rows", (weight.type, int(mode is Mode.FEW)))
    yield Call(
        kernel,
        tuple(args),
        op.label,
        f"{weight.type} {weight.columns} x {weight.rows}",
        weight.row_bytes * weight.rows,
        weight.rows * weight.columns,
        op.out.head,
    )


def rounded(x: Value, layout: Layout, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """Records of x in a layout's order, unless they stand there already."""
    name = records_of(layout)
    if lowering.recorded.get(name) is x:
        return
    lowering.recorded[name] = x
    stride, step = record_strides(layout, x.width, lowering.rows, mode)
    args = (
        lowering.address_of(x),
        4 * x.width,
        lowering.buffers.address(name),
        stride,
        x.width,
        lowering.state_of(x),
        step,
    )
    yield Call(rounding(layout, mode), args, "quantize")


def rounding(layout: Layout, mode: Mode) -> Kernel:
    """The kernel that makes records; types with equal layouts share it."""
    words = (1,) if layout.words and mode in MODES_OF_PANELS else ()
    return Kernel("activations", (representative(layout), *words))


def representative(layout: Layout) -> str:
    """The first type with this layout."""
    return next(name for name, other in LAYOUTS.items() if other == layout)


def records_of(layout: Layout) -> str:
    """The buffer of a layout's records."""
    return f"records {representative(layout)}"
