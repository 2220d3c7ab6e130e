"""What the machine can do at best: reading memory, and multiplying bytes. `bench` compares with it.

    args  0 address of the bytes to read      1 how many
          2 times to read them, or to go round the loop of products
          3 where a sum of everything goes, 64 bytes per thread, so that no work is left out

`read` is the decode loop without its arithmetic: one contiguous stream per thread, four
accumulators, the cache line 4 KiB ahead asked for. `dot` keeps eight chains of `dot4` going on
activations from the first-level cache. (With 16 registers some spill; four chains are slower.)
"""

from numba import njit

from zigllm_cli.kernels.rows import PREFETCH
from zigllm_cli.kernels.share import share
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.dot import dot4
from zigllm_cli.simd.memory import (
    load_i8x64,
    load_i32x16,
    load_i64,
    load_u8x64,
    opaque,
    prefetch,
    store_vec,
)

MACS_PER_ROUND = 8 * 64


def build(kind):
    """The kernel that reads (`read`) or multiplies (`dot`)."""
    return _read() if kind == "read" else _dot()


def _read():
    @njit(error_model="numpy")
    def read(args, thread, threads):
        data, count, times = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        first, last = share(count, 256, thread, threads)
        last -= (last - first) % 256
        sink = load_i64(args + 24) + 64 * thread
        a = load_i32x16(sink)
        b, c, d = a, a, a
        for _ in range(times):
            for p in range(data + first, data + last, 256):
                for line in range(4):
                    prefetch(p + PREFETCH + 64 * line)
                a = a + load_i32x16(p)
                b = b + load_i32x16(p + 64)
                c = c + load_i32x16(p + 128)
                d = d + load_i32x16(p + 192)
        store_vec(sink, a + b + c + d)

    return read


def _dot():
    """Two vectors of weights in registers, four of activations: no two products are the same."""

    @njit(error_model="numpy")
    def dot(args, thread, threads):
        data, times = load_i64(args), load_i64(args + 16)
        sink = load_i64(args + 24) + 64 * thread
        u, v = load_u8x64(data), load_u8x64(data + 64)
        a = load_i32x16(sink)
        b, c, d, e, f, g, h = a, a, a, a, a, a, a
        for _ in range(times):
            p = opaque(data)
            s, t = load_i8x64(p + 128), load_i8x64(p + 192)
            a, b, c, d = dot4(a, u, s), dot4(b, v, s), dot4(c, u, t), dot4(d, v, t)
            s, t = load_i8x64(p + 256), load_i8x64(p + 320)
            e, f, g, h = dot4(e, u, s), dot4(f, v, s), dot4(g, u, t), dot4(h, v, t)
        store_vec(sink, a + b + c + d + e + f + g + h)

    return dot
