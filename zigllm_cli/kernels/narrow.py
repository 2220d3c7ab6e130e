"""Rows of floats as half floats (F16) or brain floats (BF16), rounded to nearest even.

args  0 values (f32)      1 how many      2 out (uint16)
"""

from numba import njit

from zigllm_cli.simd.convert import f32_to_bf16, f32_to_f16
from zigllm_cli.simd.memory import load_f32x16, load_i64, masked_loader, masked_storer, store_vec
from zigllm_cli.simd.vector import f32x16, u16x16

load_first, store_first = masked_loader(f32x16), masked_storer(u16x16)


def build(name):
    """The kernel for F16 or BF16."""
    narrow = {"F16": f32_to_f16, "BF16": f32_to_bf16}[name]

    @njit(error_model="numpy")
    def narrow_all(args, thread, threads):
        x, count, out = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        whole = count - count % 16
        for i in range(0, whole, 16):
            store_vec(out + 2 * i, narrow(load_f32x16(x + 4 * i)))
        if whole < count:
            left = count - whole
            store_first(out + 2 * whole, narrow(load_first(x + 4 * whole, left)), left)

    return narrow_all
