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
        size = lowering.rows * record_bytes(LAYOUTS[kind], columns)
        lowering.buffers.reserve(records_of(LAYOUTS[kind]), size)


def record_bytes(layout: Layout, columns: int) -> int:
    """Bytes from one row's records to the next row's.

    Each row begins a record later in its page than the one before, so that the records of one
    step lie in different sets of the caches: 4096 bytes apart 512 rows of Q4_0 multiply 98 G/s
    on one Zen 3 core, thus 104.
    """
    size = -(-columns // STEP) * layout.record
    return size + (layout.record - size) % 4096


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
        x, stride, module = lowering.address_of(op.x), 4 * op.x.width, "float_"
    else:
        layout = LAYOUTS[weight.type]
        yield from rounded(op.x, layout, lowering)
        x, module = lowering.buffers.address(records_of(layout)), ""
        stride = record_bytes(layout, weight.columns)
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
    if mode in (Mode.SEVERAL, Mode.MANY):
        args += [*panel_room(lowering), lowering.counter()]
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


def rounded(x: Value, layout: Layout, lowering: Lowering) -> Iterable[Call]:
    """Records of x in a layout's order, unless they stand there already."""
    name = records_of(layout)
    if lowering.recorded.get(name) is x:
        return
    lowering.recorded[name] = x
    args = (
        lowering.address_of(x),
        4 * x.width,
        lowering.buffers.address(name),
        record_bytes(layout, x.width),
        x.width,
        lowering.state_of(x),
    )
    yield Call(Kernel("activations", (representative(layout),)), args, "quantize")


def representative(layout: Layout) -> str:
    """The first type with this layout: types with equal ones share the activations' kernel."""
    return next(name for name, other in LAYOUTS.items() if other == layout)


def records_of(layout: Layout) -> str:
    """The buffer of a layout's records."""
    return f"records {representative(layout)}"
