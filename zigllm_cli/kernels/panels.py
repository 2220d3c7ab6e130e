"""Products of many tokens (prefill): a register tile of rows x tokens.

Rows are unpacked once into panels (`panel_pack`), a step at a time, so that some panels stay in the
first-level cache while all tokens pass by; the sums wait in the second. A tile of `columns` tokens
and some panels is multiplied in registers (`panel_tile`).

    args  0 weights                     1 bytes of a row
          2 rows                        3 whole steps of 256 per row
          4 blocks behind them          5 records of the activations
          6 bytes from token to token   7 out (f32)
          8 bytes from token to token   9 bias (f32 [rows]) or 0
         10 whether to add to out      11 address of the number of tokens
         12 room for panels            13 bytes of it per thread
         14 address of a counter (`share.claim`)
         15 bytes from step to step of the records

The records of one step stand side by side, one stream for the tokens that pass by (with each
token's in a row, 4 % fewer products of Q4_0 and 2 of Q8_0 on a Zen 3). They must be readable up
to the next multiple of the tile's columns.
"""

from numba import njit

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.kernels.panel_pack import ROWS, pack_panel, panel_bytes
from zigllm_cli.kernels.panel_tile import tile_clear, tile_product, tile_shape
from zigllm_cli.kernels.share import claim
from zigllm_cli.quants.layouts import LAYOUTS, STEP
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.memory import load_f32, load_f32x16, load_i64, store_f32, store_vec


def panel_count(layout):
    """Panels that are unpacked at a time and meet a token while its record is near: 16 KiB."""
    return 2 if layout.words else 4


def build(name):
    """The kernel for a weight type."""
    return product_of_many(*rows_times_tokens(name))


def product_of_many(multiply, width):
    """A kernel around a function like that of `rows_times_tokens`: threads claim some rows."""

    @njit(error_model="numpy")
    def product(args, thread, threads):
        weights, row_bytes, rows = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        steps, blocks, x = load_i64(args + 24), load_i64(args + 32), load_i64(args + 40)
        stride, out, out_stride = load_i64(args + 48), load_i64(args + 56), load_i64(args + 64)
        bias, add, tokens = load_i64(args + 72), load_i64(args + 80), load_i64(load_i64(args + 88))
        activations = (x, stride, load_i64(args + 120))
        room = load_i64(args + 96) + thread * load_i64(args + 104)
        counter, tiles = load_i64(args + 112), (rows + width - 1) // width
        matrix, place = (weights, row_bytes, rows, steps, blocks), (out, out_stride, bias, add)
        tile = claim(counter, tiles, threads)
        while tile < tiles:
            multiply(matrix, tile * width, room, activations, tokens, place)
            tile = claim(counter, tiles, threads)

    return product


def rows_times_tokens(name):
    """(a Numba function, the rows it takes): rows of a matrix from `row` on times all tokens.

    ((weights, bytes of a row, rows, steps, blocks), row, room, (x, bytes from token to token and
    from step to step), tokens, (out, bytes from token to token, bias, whether to add)).
    """
    layout, kind = LAYOUTS[name], tensor_type(name)
    (panels, columns), count = tile_shape(layout), panel_count(layout)
    pack, multiply = pack_panel(name), tile_product(layout, panels, columns)
    write, clear = tile_writer(panels, columns), tile_clear(count * columns)
    size, tile_bytes = panel_bytes(layout), 64 * panels * columns
    step_bytes = kind.block_bytes * (STEP // kind.block_size)

    @njit
    def product(matrix, row, room, activations, tokens, place):
        weights, row_bytes, rows, steps, blocks = matrix
        (x, stride, ahead), (out, out_stride, bias, add) = activations, place
        last = steps - 1 + (1 if blocks else 0)
        for step in range(last + 1):
            some = blocks if step == steps else 0
            groups = some if some else STEP // 32
            for n in range(count):
                p, panel = weights + step * step_bytes, room + n * size
                pack(p, row_bytes, row + n * ROWS, rows, some, panel)
            sums, z, y = room + count * size, x + step * ahead, out + 4 * row
            for left in range(tokens, 0, -columns):
                if step == 0:
                    clear(sums)
                for n in range(0, count, panels):
                    panel = room + n * size
                    multiply(sums, panel, size, z, stride, groups)
                    if step == last:
                        first, there = row + n * ROWS, min(left, columns)
                        write(sums, y + 64 * n, out_stride, first, rows, there, bias, add)
                    sums += tile_bytes
                z, y = z + columns * stride, y + columns * out_stride

    return product, ROWS * count


def tile_writer(panels, columns):
    """A Numba function: a tile of sums to out, with bias and what stood there.

    (sums, address of the first row, bytes from token to token, row, rows, tokens, bias, add).
    """

    @njit
    def write(sums, out, stride, row, rows, tokens, bias, add):
        for p in range(panels):
            count = min(rows - row - ROWS * p, ROWS)
            for j in range(tokens):
                source = sums + 64 * (p * columns + j)
                target = out + j * stride + 64 * p
                if count == ROWS:
                    value = load_f32x16(source)
                    if bias:
                        value = value + load_f32x16(bias + 4 * row + 64 * p)
                    if add:
                        value = value + load_f32x16(target)
                    store_vec(target, value)
                else:
                    for i in range(count):
                        single = load_f32(source + 4 * i)
                        if bias:
                            single += load_f32(bias + 4 * (row + i) + 64 * p)
                        if add:
                            single += load_f32(target + 4 * i)
                        store_f32(target + 4 * i, single)

    return write
