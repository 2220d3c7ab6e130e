"""Panels: sixteen rows of weights, unpacked into the layout in which a tile multiplies them.

    64 bytes for every four weights along the row: four of each of the 16 rows
    scales, then minima: f32 [group, 16 rows]

The order of the fours is that of the groups of 32 activations (`parts_of`). Where a tile takes
words (`Layout.words`), twice 64 bytes stand for four weights: `words_of` them.
"""

from itertools import chain

from numba import njit, types

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.kernels.rows import copy_tail, spare_room
from zigllm_cli.quants.layouts import LAYOUTS, STEP
from zigllm_cli.quants.unpack import unpacking
from zigllm_cli.simd.dot import words_of
from zigllm_cli.simd.emit import emit, load, offset, store
from zigllm_cli.simd.memory import prefetch, stack_room
from zigllm_cli.simd.tile import transposed
from zigllm_cli.simd.vector import f32x16, i8x64, i32x16, u8x64

ROWS = 16
"""Rows of a panel: the lanes of an accumulator."""


def weights_bytes(layout):
    """Bytes of a panel's weights per step."""
    return ROWS * STEP * (2 if layout.words else 1)


def panel_bytes(layout):
    """Bytes of a panel per step."""
    return weights_bytes(layout) + 64 * layout.groups + (64 * 16 if layout.minima else 0)


def pack_panel(name):
    """A Numba function: sixteen rows unpacked and transposed into a panel.

    (weights at the step, bytes of a row, first row, rows, blocks, panel): a whole step, or if
    `blocks` so many of it. Rows past the end repeat the last one.
    """
    layout, kind, unpack = LAYOUTS[name], tensor_type(name), unpacking(name)
    stage_row, turn = unpack_to_stage(layout, unpack), transpose_stage(layout)
    step_bytes = kind.block_bytes * (STEP // kind.block_size)
    block_bytes = kind.block_bytes

    @njit
    def pack(weights, row_bytes, first, rows, blocks, panel):
        stage, spare = stage_room(), spare_room()
        for j in range(ROWS):
            p = weights + min(first + j, rows - 1) * row_bytes
            if blocks:
                copy_tail(p, spare, blocks * block_bytes, step_bytes)
                p = spare
            else:
                for line in range(0, step_bytes, 64):
                    prefetch(p + step_bytes + line)
            stage_row(p, stage + 64 * j)
        turn(stage, panel)

    return pack


STAGE = 64 * ROWS
"""Bytes of one vector of each of the 16 rows, as they wait for their transposition."""

stage_room = stack_room(9 * STAGE)


def unpack_to_stage(layout, unpack):
    """A Numba function (weights' address, stage): one row's step, a vector per `STAGE` bytes."""
    count = 4 + layout.chains + bool(layout.minima)

    def build_store(b, stage, *vectors):
        for k, vector in enumerate(vectors):
            store(b, offset(b, stage, STAGE * k), vector, 64)

    kinds = [u8x64] * 4 + [f32x16] * (count - 4)
    store_vectors = emit(types.void, types.int64, *kinds)(build_store)
    weights, scales = unpack.weights, unpack.scales
    if layout.minima:
        minima = unpack.minima

        @njit(forceinline=True)
        def stage_row(p, stage):
            store_vectors(stage, *weights(p), *scales(p), minima(p))

    else:

        @njit(forceinline=True)
        def stage_row(p, stage):
            store_vectors(stage, *weights(p), *scales(p))

    return stage_row


def transpose_stage(layout):
    """An operation (stage, panel): what is staged, by columns, in the order of the groups."""
    taken = 128 if layout.words else 64

    def as_taken(b, four):
        if not layout.words:
            return [four]
        return words_of(b, b.xor(b.bitcast(four, i8x64.ir), i8x64.constant([-128] * 64)))

    def build_transpose(b, stage, panel):
        def columns(k):
            at_row = [offset(b, stage, STAGE * k + 64 * j) for j in range(ROWS)]
            return transposed(b, [load(b, p, i32x16.ir, 64) for p in at_row])

        turned = [columns(v) for v in range(4)]
        for place, (vector, lane) in enumerate(quads_of(layout)):
            for part, four in enumerate(as_taken(b, turned[vector][lane])):
                store(b, offset(b, panel, taken * place + 64 * part), four, 64)
        behind = weights_bytes(layout)
        scales = [columns(4 + k) for k in range(layout.chains)]
        for place, (k, lane) in enumerate(chain.from_iterable(parts_of(layout))):
            store(b, offset(b, panel, behind + 64 * place), scales[k][lane], 64)
        if layout.minima:
            behind += 64 * layout.groups
            for lane, column in enumerate(columns(4 + layout.chains)):
                if layout.minima[lane] >= 0:
                    store(b, offset(b, panel, behind + 64 * lane), column, 64)

    return emit(types.void, types.int64, types.int64)(build_transpose)


def parts_of(layout):
    """For every 32 activations of a step, which share a scale: (chain, first lane) of the weights'
    groups that meet them, one or two."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(STEP // 32)]
    for k, lanes in enumerate(layout.lane_groups):
        for lane in range(0, 16, layout.lanes):
            found[lanes[lane]].append((k, lane))
    return found


def quads_of(layout):
    """(vector, lane) of every four weights, in the order of a panel: by group, vector, lane."""
    return [
        (layout.vectors * k + v, lane + n)
        for parts in parts_of(layout)
        for k, lane in parts
        for v in range(layout.vectors)
        for n in range(layout.lanes)
    ]
