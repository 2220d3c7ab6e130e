"""How many rows a step has of something that each token has several of.

args  0 rows per token              1 where the number goes (int64)
      2 state
"""

from numba import njit

from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd.memory import load_i64, store_i64


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def count_rows(args, thread, threads):
        if thread == 0:
            tokens = load_i64(load_i64(args + 16) + 8 * TOKENS)
            store_i64(load_i64(args + 8), tokens * load_i64(args))

    return count_rows
