"""Decode and multiply blocks of the code-book types, in a process of its own.

    python run_kernels.py IN.npz OUT.npz

`ZIGLLM_ISA` chooses the instruction set. IN holds `NAME_bytes` (uint8 [rows, row_bytes]) for
each type to decode and, for those to multiply, `NAME_x` (f32 [tokens, row]). OUT holds
`NAME_values` (f32 [rows, row]) and `NAME_y` (f32 [threads 1 and 3, tokens, rows]).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.jit import Kernel, call
from zigllm_cli.quants.layouts import LAYOUTS, STEP

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from fences import fenced

Array = np.ndarray[Any, np.dtype[Any]]


def decode(name: str, data: Array) -> Array:
    """All rows as floats, by the kernel `dequantize`; twice, with either end of the data fenced."""
    kind = tensor_type(name)
    values = data.shape[1] // kind.block_bytes * kind.block_size
    results = []
    for at_end in (False, True):
        rows = fenced(data, at_end)
        out = np.full((len(data), values), np.nan, np.float32)
        words = [rows.ctypes.data, data.shape[1], len(data), values, out.ctypes.data, 4 * values]
        args = np.array(words, np.int64)
        call(Kernel("dequantize", (name,)))(args.ctypes.data, 0, 1)
        results.append(out)
    assert results[0].tobytes() == results[1].tobytes()
    return results[0]


def aligned(size: int) -> Array:
    """Bytes from a multiple of 64 on."""
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size]


def multiply(name: str, data: Array, x: Array) -> Array:
    """The rows times each token, on one thread and then on three."""
    tokens, values = x.shape
    steps = values // STEP
    record = LAYOUTS[name].record
    stride = steps * record
    records, state = aligned(tokens * stride), np.array([tokens], np.int64)
    words = [x.ctypes.data, 4 * values, records.ctypes.data, stride, values, state.ctypes.data]
    args = np.array([*words, record], np.int64)
    call(Kernel("activations", (name,)))(args.ctypes.data, 0, 1)
    product = call(Kernel("rows", (name, 1)))
    out = np.full((2, tokens, len(data)), np.nan, np.float32)
    rows = fenced(data, at_end=True)
    for y, threads in zip(out, (1, 3), strict=True):
        words = [rows.ctypes.data, data.shape[1], len(data), steps, 0, records.ctypes.data, stride]
        words += [y.ctypes.data, 4 * len(data), 0, 0, state.ctypes.data]
        args = np.array(words, np.int64)
        for thread in range(threads):
            product(args.ctypes.data, thread, threads)
    return out


def main(source: str, target: str) -> None:
    """Answer everything that IN asks."""
    given, answers = np.load(source), {}
    for key in given.files:
        name, what = key.rsplit("_", 1)
        if what == "bytes":
            answers[f"{name}_values"] = decode(name, given[key])
        else:
            answers[f"{name}_y"] = multiply(name, given[f"{name}_bytes"], given[key])
    np.savez(target, allow_pickle=False, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
