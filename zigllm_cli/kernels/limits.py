"""What the machine can do at best: reading memory, and multiplying bytes. `bench` compares with it.

    args  0 address of the bytes to read      1 how many
          2 times to read them, or to go round the loop of products
          3 where a sum of everything goes, 64 bytes per thread, so that no work is left out

`read` is the decode loop without its arithmetic: one contiguous stream per thread, four
accumulators, the cache line 4 KiB ahead asked for. `dot` keeps eight chains of `dot4` going, of
weights in registers with activations from the first-level cache; the weights are as small as those
of four bits, which AVX2 multiplies three times as fast as bytes of any size.
"""

from numba import njit

from zigllm_cli.kernels.rows import PREFETCH
from zigllm_cli.kernels.share import share
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.dot import DotSum
from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.memory import (
    load_i8x64,
    load_i32x16,
    load_i64,
    load_u8x64,
    opaque,
    prefetch,
    store_vec,
)
from zigllm_cli.simd.vector import i8x64, i32x16, u8x64

CHAINS, SMALL = 8, 15
WEIGHTS = 128
"""Bytes of weights, which stand before the activations."""

OPERANDS = WEIGHTS + CHAINS * 128
"""Bytes that the loop of products reads."""

MACS_PER_ROUND = CHAINS * 4 * 64


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


@emit(i32x16, i32x16, u8x64, u8x64, i8x64, i8x64)
def _products(b, acc, u, v, s, t):
    """Acc + each of two vectors of weights with each of two of activations."""
    total = DotSum(b, lambda: acc, SMALL)
    for weights in (u, v):
        for activations in (s, t):
            total.add(weights, activations)
    return total.value()


@njit(error_model="numpy", inline="always")
def _chain(acc, u, v, p):
    return _products(acc, u, v, load_i8x64(p), load_i8x64(p + 64))


def _dot():
    """Each chain has activations of its own: no two products are the same."""

    @njit(error_model="numpy")
    def dot(args, thread, threads):
        data, times = load_i64(args), load_i64(args + 16)
        sink = load_i64(args + 24) + 64 * thread
        u, v = load_u8x64(data), load_u8x64(data + 64)
        a = load_i32x16(sink)
        b, c, d, e, f, g, h = a, a, a, a, a, a, a
        for _ in range(times):
            p = opaque(data) + WEIGHTS
            a, b = _chain(a, u, v, p), _chain(b, u, v, p + 128)
            c, d = _chain(c, u, v, p + 256), _chain(d, u, v, p + 384)
            e, f = _chain(e, u, v, p + 512), _chain(f, u, v, p + 640)
            g, h = _chain(g, u, v, p + 768), _chain(h, u, v, p + 896)
        store_vec(sink, a + b + c + d + e + f + g + h)

    return dot
