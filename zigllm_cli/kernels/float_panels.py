"""Products of many tokens with weights that are floats: a tile of rows x tokens of float32.

Sixteen rows are widened and transposed into a panel [value][16 rows], `BLOCK` values at a time so
that two panels and the sums of all tokens stay in the second-level cache.

    args as in `float_rows`, and
         12 room for panels and sums   13 bytes of it per thread
         14 address of a counter (`share.claim`)
         15 unused (`panels`)
"""

from llvmlite import ir
from numba import njit, types

from zigllm_cli.kernels.float_rows import BYTES, stored_kind, widened
from zigllm_cli.kernels.panels import product_of_many, tile_writer
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.emit import (
    broadcast,
    call,
    emit,
    first_lanes_of,
    load,
    masked_load,
    offset,
    store,
)
from zigllm_cli.simd.isa import current
from zigllm_cli.simd.tile import tile_load, tile_store, transposed, zero_tile
from zigllm_cli.simd.vector import F32, Tile, f32x16, i32x16

ROWS = 16
BLOCK = 512
"""Values of a row per pass: two panels are 64 KiB."""

TILES = {"avx512": (4, 6), "neon": (1, 6), "avx2": (1, 6), "avxvnni": (1, 6)}
"""(panels, columns) of a register tile; with (1, 6), AVX2 uses 15 of its 16 registers."""


def tile_shape():
    """Panels and columns of the tile on this instruction set."""
    return TILES.get(current().name, (1, 4))


def build(name):
    """The kernel for a float type."""
    return product_of_many(*rows_times_tokens(name))


def rows_times_tokens(name):
    """As in `panels`, for weights that are floats: values in place of steps."""
    panels, columns = tile_shape()
    pack, multiply = pack_panel(name), tile_product(panels, columns)
    write, zeros = tile_writer(panels, columns), zero_tile(f32x16, panels * columns)
    restore = tile_load(f32x16, panels * columns)
    size, panel_size, tile_bytes = BYTES[name], 4 * ROWS * BLOCK, 64 * panels * columns

    @njit
    def product(matrix, row, room, activations, tokens, place):
        weights, row_bytes, rows, values, _ = matrix
        (x, stride, _), (out, out_stride, bias, add) = activations, place
        for start in range(0, values, BLOCK):
            count = min(BLOCK, values - start)
            for n in range(panels):
                for_rows = weights + start * size
                pack(for_rows, row_bytes, row + n * ROWS, rows, count, room + n * panel_size)
            ready = saved = room + panels * panel_size
            z, y = x + 4 * start, out + 4 * row
            for left in range(tokens, 0, -columns):
                sums = restore(saved, 64) if start else zeros()
                there = min(left, columns)
                sums = multiply(sums, room, z, stride, count, there - 1)
                if start + count == values:
                    tile_store(ready, 64, sums)  # always there: the panel stays in the cache
                    write(ready, y, out_stride, row, rows, there, bias, add)
                else:
                    tile_store(saved, 64, sums)
                z, y, saved = z + columns * stride, y + columns * out_stride, saved + tile_bytes

    return product, ROWS * panels


def pack_panel(name):
    """A Numba function: 16 rows of `count` values to a panel, rows past the end as the last one."""
    size = BYTES[name]
    turn, turn_last = _turn(name, masked=False), _turn(name, masked=True)

    @njit
    def pack(weights, row_bytes, first, rows, count, panel):
        room = min(rows - first, ROWS)
        base = weights + min(first, rows - 1) * row_bytes
        last = max(room - 1, 0)
        for i in range(0, count - 15, 16):
            turn(base + i * size, row_bytes, last, panel + 64 * i, 16)
        if count % 16:
            i = count - count % 16
            turn_last(base + i * size, row_bytes, last, panel + 64 * i, count % 16)

    return pack


def _turn(name, masked):
    def build_turn(b, p, row_bytes, last, panel, count):
        rows = []
        for j in range(ROWS):
            row = ir.Constant(p.type, j)
            row = b.select(b.icmp_signed("<", row, last), row, last)
            address = b.add(p, b.mul(row, row_bytes))
            if masked:
                bits = masked_load(b, address, stored_kind(name), first_lanes_of(b, count, 16))
            else:
                bits = load(b, address, stored_kind(name))
            rows.append(b.bitcast(widened(b, name, bits), i32x16.ir))
        for lane, column in enumerate(transposed(b, rows)):
            store(b, offset(b, panel, 64 * lane), column, 64)

    return emit(types.void, *[types.int64] * 5)(build_turn)


def tile_product(panels, columns):
    """A Numba function: sums of the tile, gone on with `count` values.

    (sums, panels, x, bytes from token to token, count, last token that exists). Columns past it
    repeat it: nothing is read that is not there.
    """
    tile = Tile(f32x16, panels * columns)

    def build_step(b, sums, panel, x, stride, last):
        ws = [load(b, offset(b, panel, 4 * ROWS * BLOCK * p), f32x16.ir, 64) for p in range(panels)]
        for j in range(columns):
            number = ir.Constant(last.type, j)
            token = b.select(b.icmp_signed("<", number, last), number, last)
            each = broadcast(b, load(b, b.add(x, b.mul(stride, token)), F32), 16)
            for p in range(panels):
                k = p * columns + j
                total = call(b, "llvm.fma.v16f32", f32x16.ir, ws[p], each, b.extract_value(sums, k))
                sums = b.insert_value(sums, total, k)
        return sums

    step = emit(tile, tile, *[types.int64] * 4)(build_step)

    @njit
    def multiply(sums, panel, x, stride, count, last):
        for i in range(count):
            sums = step(sums, panel + 64 * i, x + 4 * i, stride, last)
        return sums

    return multiply
