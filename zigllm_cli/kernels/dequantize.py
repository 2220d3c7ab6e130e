"""Rows of any type as float32, in their natural order.

The unpack is that of the products: bytes are put back in order, made floats, scaled, and their
minima taken away, each operation rounded on its own as ggml's decoders do.

    args  0 rows                        1 bytes from row to row
          2 number of rows              3 values per row
          4 out (f32)                   5 bytes from row to row of out
"""

from llvmlite import ir
from numba import njit, types

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.kernels.activations import byte_vectors, reordered
from zigllm_cli.kernels.float_rows import BYTES, stored_kind, widened
from zigllm_cli.kernels.rows import copy_tail, spare_room
from zigllm_cli.kernels.share import share
from zigllm_cli.quants.layouts import LAYOUTS, STEP
from zigllm_cli.quants.unpack import unpacking
from zigllm_cli.simd.convert import as_signed
from zigllm_cli.simd.emit import (
    broadcast,
    emit,
    first_lanes_of,
    load,
    masked_load,
    offset,
    shuffle,
    store,
)
from zigllm_cli.simd.memory import load_f32, load_i64, masked_storer, stack_room, store_f32
from zigllm_cli.simd.vector import I32, f32x16, i8x64, i32x16


def build(name):
    """The kernel for a type: F32, F16, BF16 or one with a layout."""
    decode = row_of(name)

    @njit(error_model="numpy")
    def dequantize(args, thread, threads):
        rows, row_bytes, values = load_i64(args), load_i64(args + 8), load_i64(args + 24)
        out, out_stride = load_i64(args + 32), load_i64(args + 40)
        first, last = share(load_i64(args + 16), 1, thread, threads)
        for r in range(first, last):
            decode(rows + r * row_bytes, values, out + r * out_stride)

    return dequantize


def row_of(name):
    """A Numba function (row, number of values, out): the row's values to out."""
    return float_row(name) if name in BYTES else quantised_row(name)


# ------------------------------------------------------------------ floats

store_first = masked_storer(f32x16)


def float_row(name):
    """`row_of` a type that is not quantised."""
    size, kind = BYTES[name], stored_kind(name)
    load_all = emit(f32x16, types.int64)(lambda b, p: widened(b, name, load(b, p, kind)))

    @emit(f32x16, types.int64, types.int64)
    def load_some(b, p, count):
        return widened(b, name, masked_load(b, p, kind, first_lanes_of(b, count, 16)))

    store_all = emit(types.void, types.int64, f32x16)(store)

    @njit(forceinline=True)
    def row(p, values, out):
        whole = values - values % 16
        for i in range(0, whole, 16):
            store_all(out + 4 * i, load_all(p + size * i))
        left = values - whole
        if left:
            store_first(out + 4 * whole, load_some(p + size * whole, left), left)

    return row


# ------------------------------------------------------------------ quantised types

floats_room = stack_room(4 * STEP)


def quantised_row(name):
    """`row_of` a type with a layout; the last blocks of a row may be fewer than a step."""
    kind, step = tensor_type(name), step_values(name)
    block, block_bytes = kind.block_size, kind.block_bytes
    step_bytes = block_bytes * (STEP // block)

    @njit(forceinline=True)
    def row(p, values, out):
        for _ in range(values // STEP):
            step(p, out)
            p += step_bytes
            out += 4 * STEP
        left = values % STEP
        if block < STEP and left:
            spare, floats = spare_room(), floats_room()
            copy_tail(p, spare, left // block * block_bytes, step_bytes)
            step(spare, floats)
            for i in range(left):
                store_f32(out + 4 * i, load_f32(floats + 4 * i))

    return row


def step_values(name):
    """A Numba function (weights' address, out): the 256 values of a step."""
    layout, unpack = LAYOUTS[name], unpacking(name)
    into_natural, store_values = reordered(_inverse(layout.order)), scaled_values(layout)
    weights, scales = unpack.weights, unpack.scales
    get0, get1, get2, get3 = byte_vectors

    @njit(forceinline=True)
    def natural(p):
        w0, w1, w2, w3 = weights(p)
        t = into_natural(as_signed(w0), as_signed(w1), as_signed(w2), as_signed(w3))
        return get0(t), get1(t), get2(t), get3(t)

    if layout.minima:
        minima = unpack.minima

        @njit
        def step(p, out):
            store_values(out, *natural(p), *scales(p), minima(p))

    else:

        @njit
        def step(p, out):
            store_values(out, *natural(p), *scales(p))

    return step


def _inverse(order):
    """Where in the order each place stands."""
    inverse = [0] * len(order)
    for position, place in enumerate(order):
        inverse[place] = position
    return inverse


def scaled_values(layout):
    """An operation (out, bytes in natural order, scale per chain..., [minima]): 256 floats.

    Sixteen values next to each other share scale and minimum in every type.
    """
    position = _inverse(layout.order)
    extra = [f32x16] * (layout.chains + bool(layout.minima))

    def build_values(b, out, *vectors):
        natural, factors = vectors[:4], vectors[4:]
        shift = i32x16.constant([layout.offset] * 16)
        for n in range(16):
            start = 16 * (n % 4)
            piece = shuffle(b, natural[n // 4], natural[n // 4], range(start, start + 16))
            whole = b.sub(b.zext(piece, i32x16.ir), shift)
            vector, byte = divmod(position[16 * n], 64)
            scale = _lane(b, factors[vector // layout.vectors], byte // 4)
            value = b.fmul(scale, b.sitofp(whole, f32x16.ir))
            if layout.minima:
                lane = layout.minima.index(16 * n // layout.minima_group)
                value = b.fsub(value, _lane(b, factors[-1], lane))
            store(b, offset(b, out, 64 * n), value)

    return emit(types.void, types.int64, *[i8x64] * 4, *extra)(build_values)


def _lane(b, vector, lane):
    return broadcast(b, b.extract_element(vector, ir.Constant(I32, lane)), 16)
