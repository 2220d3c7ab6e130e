"""The rows of x whose logits are wanted, one behind the other.

args  0 x (f32)                     1 bytes from token to token of x
      2 out                         3 bytes from token to token of out
      4 width                       5 state
"""

from numba import njit

from zigllm_cli.kernels.share import share
from zigllm_cli.kernels.state import OUTPUT_TOKENS, OUTPUTS
from zigllm_cli.simd.memory import load_f32, load_i64, store_f32


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def select_rows(args, thread, threads):
        state = load_i64(args + 40)
        width, chosen = load_i64(args + 32), load_i64(state + 8 * OUTPUT_TOKENS)
        first, last = share(load_i64(state + 8 * OUTPUTS), 1, thread, threads)
        for i in range(first, last):
            x = load_i64(args) + load_i64(chosen + 8 * i) * load_i64(args + 8)
            out = load_i64(args + 16) + i * load_i64(args + 24)
            for k in range(width):
                store_f32(out + 4 * k, load_f32(x + 4 * k))

    return select_rows
