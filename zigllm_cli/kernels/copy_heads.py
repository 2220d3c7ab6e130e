"""Some columns of every head of a value, copied to columns of another's heads.

args  0 x (f32; its first column)   1 bytes from token to token of x
      2 bytes from head to head of x; 0 where all heads take the same
      3 out (its first column)      4 bytes from token to token of out
      5 bytes from head to head of out
      6 heads                       7 floats to copy per head
      8 state
"""

from numba import njit

from zigllm_cli.kernels.edges import load_part, store_part
from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd.memory import load_i64


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def copy_heads(args, thread, threads):
        heads, count = load_i64(args + 48), load_i64(args + 56)
        tokens = load_i64(load_i64(args + 64) + 8 * TOKENS)
        first, last = share(tokens * heads, 1, thread, threads)
        for i in range(first, last):
            token, head = i // heads, i % heads
            x = load_i64(args) + token * load_i64(args + 8) + head * load_i64(args + 16)
            out = load_i64(args + 24) + token * load_i64(args + 32) + head * load_i64(args + 40)
            for k in range(0, count, 16):
                store_part(out + 4 * k, load_part(x + 4 * k, count - k), count - k)

    return copy_heads
