"""Rows copied to another order: what each token brings to its experts, one run behind the other.

args  0 rows                        1 bytes of a part of a row (a multiple of 4); from row to row
      2 out                         3 for each row of out, `divisor` times its source (int64)
      4 divisor                     5 address of the number of rows
      6 parts of a row              7 bytes from part to part of rows, 8 of out
"""

from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.share import share
from zigllm_cli.simd.memory import load_i64


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def gather_rows(args, thread, threads):
        size, sources, divisor = load_i64(args + 8), load_i64(args + 24), load_i64(args + 32)
        parts, step, out_step = load_i64(args + 48), load_i64(args + 56), load_i64(args + 64)
        first, last = share(load_i64(load_i64(args + 40)), 1, thread, threads)
        for i in range(first, last):
            p = load_i64(args) + load_i64(sources + 8 * i) // divisor * size
            out = load_i64(args + 16) + i * size
            for _ in range(parts):
                for k in range(0, size, 64):
                    store_part(out + k, load_part(p + k, (size - k) // 4), (size - k) // 4)
                p, out = p + step, out + out_step

    return gather_rows
