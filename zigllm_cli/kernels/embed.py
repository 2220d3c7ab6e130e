"""The tokens' rows of the embedding table, decoded and scaled.

    args  0 table                       1 bytes of a row
          2 values per row              3 out (f32 [tokens, row])
          4 bytes from token to token   5 address of token ids (int64)
          6 address of the number of tokens
          7 factor (f64; 1 leaves the values as they are)

Threads share the tokens.
"""

import numpy as np
from numba import njit

from zigllm_cli.kernels.dequantize import row_of
from zigllm_cli.kernels.share import share
from zigllm_cli.simd.memory import load_f32, load_f64, load_i64, store_f32


def build(name):
    """The kernel for the table's type."""
    decode = row_of(name)

    @njit(error_model="numpy")
    def embed(args, thread, threads):
        table, row_bytes, values = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        ids, factor = load_i64(args + 40), np.float32(load_f64(args + 56))
        first, last = share(load_i64(load_i64(args + 48)), 1, thread, threads)
        for i in range(first, last):
            out = load_i64(args + 24) + i * load_i64(args + 32)
            decode(table + load_i64(ids + 8 * i) * row_bytes, values, out)
            if factor != np.float32(1):
                for k in range(values):
                    store_f32(out + 4 * k, load_f32(out + 4 * k) * factor)

    return embed
