"""Sixteen floats at the edge of a row: the whole vector, or the lanes that exist."""

from zigllm_cli.kernels.inline import part
from zigllm_cli.simd.memory import load_f32x16, masked_loader, masked_storer, store_vec
from zigllm_cli.simd.vector import f32x16

load_first = masked_loader(f32x16)
store_first = masked_storer(f32x16)


@part
def load_part(p, count):
    """The first `count` floats at p (or all sixteen), zeros behind them."""
    return load_f32x16(p) if count >= 16 else load_first(p, count)


@part
def store_part(p, vector, count):
    """Store the first `count` lanes (or all sixteen)."""
    if count >= 16:
        store_vec(p, vector)
    else:
        store_first(p, vector, count)
