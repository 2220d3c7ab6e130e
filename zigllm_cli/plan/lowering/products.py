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
    weight = op.weight
    if weight.type in FLOATS:
        room = FLOAT_PANELS
    else:
        layout = LAYOUTS[weight.type]
        steps = -(-weight.columns // STEP)
        lowering.buffers.reserve(_records(layout), lowering.rows * steps * layout.record)
        room = PANELS
    room += 4 * PANEL_ROWS * lowering.rows
    lowering.buffers.reserve("panels", lowering.threads * _rounded(room))


def _rounded(size: int) -> int:
    return -(-size // 4096) * 4096


@calls.register(Product)
def product(op: Product, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """The rounding of x, where the weights are quantised and it is not done yet; the product."""
    weight = op.weight
    if weight.type in FLOATS:
        x, stride, module = lowering.address_of(op.x), 4 * op.x.width, "float_"
        whole, behind = weight.columns, 0
    else:
        layout = LAYOUTS[weight.type]
        yield from _quantize(op.x, layout, lowering)
        x, module = lowering.buffers.address(_records(layout)), ""
        stride = -(-weight.columns // STEP) * layout.record
        whole, behind = divmod(weight.columns, STEP)
        behind //= 32
    args = [
        address(weight.data),
        weight.row_bytes,
        weight.rows,
        whole,
        behind,
        x,
        stride,
        lowering.address_of(op.out),
        4 * op.out.width,
        lowering.vector(op.bias),
        int(op.add),
        lowering.state_of(op.out),
    ]
    if mode in (Mode.SEVERAL, Mode.MANY):
        size = len(lowering.buffers.block("panels")) // lowering.threads
        args += [lowering.buffers.address("panels"), size // 4096 * 4096, lowering.counter()]
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


def _quantize(x: Value, layout: Layout, lowering: Lowering) -> Iterable[Call]:
    """Records of x in a layout's order, unless they stand there already."""
    name = _records(layout)
    if lowering.recorded.get(name) is x:
        return
    lowering.recorded[name] = x
    steps = -(-x.width // STEP)
    args = (
        lowering.address_of(x),
        4 * x.width,
        lowering.buffers.address(name),
        steps * layout.record,
        x.width,
        lowering.state_of(x),
    )
    yield Call(Kernel("activations", (_representative(layout),)), args, "quantize")


def _representative(layout: Layout) -> str:
    """The first type with this layout: types with equal ones share the activations' kernel."""
    return next(name for name, other in LAYOUTS.items() if other == layout)


def _records(layout: Layout) -> str:
    return f"records {_representative(layout)}"
