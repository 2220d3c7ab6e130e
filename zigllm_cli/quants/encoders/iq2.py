"""IQ2_XXS, IQ2_XS, IQ2_S: eight magnitudes 1, 3 or 5 at once, from code books of 256 to 1024."""

from typing import Any

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants.encoders.lanes import part, weigh
from zigllm_cli.quants.encoders.lattice_search import Search, encode_with
from zigllm_cli.quants.encoders.neighbours import tables as tables
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill
from zigllm_cli.simd.memory import (
    load_f32x16,
    load_u8,
    load_u16,
    store_i32,
    store_u8,
    store_u16,
    store_vec,
)
from zigllm_cli.simd.vector import f32x16

PER_POINT: Any = {"width": 8, "bits": 2, "top": 2, "delta": 0.1}
SEARCH = {
    "IQ2_XXS": Search(
        n=32, tries=6, even_signs=True, least=1e-15, refine="always", fitted=True, **PER_POINT
    ),
    "IQ2_XS": Search(n=16, tries=9, even_signs=True, least=1e-15, **PER_POINT),
    "IQ2_S": Search(n=16, tries=9, even_signs=False, least=1e-8, **PER_POINT),
}


def encoder(name, weighted):
    """See `encoders`; without importance only IQ2_S knows weights."""
    pack = {"IQ2_XXS": pack_xxs, "IQ2_XS": pack_xs, "IQ2_S": pack_s}[name]
    how = SEARCH[name]
    n, factor = how.n, fill(f32x16, 2.0 if name == "IQ2_S" else 1.0)
    quarter = fill(f32x16, 0.25)

    @part
    def make_weights(x, w, mean_square, given):
        if given:
            weigh(x, w, factor() * mean_square, n)
        else:
            for i in range(n):
                v = load_f32x16(x + 64 * i)
                store_vec(w + 64 * i, quarter() * (factor() * mean_square) + v * v)

    fudge = 0.9875 if name == "IQ2_S" else 1.0
    return encode_with(how, make_weights, pack, tensor_type(name).block_bytes, fudge)


@part
def pack_xxs(numbers, signs, scales, out):
    """Per 32 values: four numbers of 8 bits, four times seven signs, a scale of four bits."""
    for i in range(8):
        word = load_u8(scales + i) << 28
        for k in range(4):
            store_u8(out + 8 * i + k, load_u16(numbers + 8 * i + 2 * k))
            word |= load_u8(signs + 4 * i + k) << (7 * k)
        store_i32(out + 8 * i + 4, word)


@part
def pack_nibbles(scales, count, out):
    """Two scales of four bits in a byte."""
    for i in range(count // 2):
        store_u8(out + i, load_u8(scales + 2 * i) | load_u8(scales + 2 * i + 1) << 4)


@part
def pack_xs(numbers, signs, scales, out):
    """Per eight values a word: number of 9 bits, seven signs; then the scales."""
    for i in range(32):
        store_u16(out + 2 * i, load_u16(numbers + 2 * i) | load_u8(signs + i) << 9)
    pack_nibbles(scales, 16, out + 64)


@part
def pack_s(numbers, signs, scales, out):
    """Low bytes of the numbers, signs, upper two bits of the numbers, scales."""
    for i in range(8):
        upper = 0
        for k in range(4):
            number = load_u16(numbers + 8 * i + 2 * k)
            store_u8(out + 4 * i + k, number)
            store_u8(out + 32 + 4 * i + k, load_u8(signs + 4 * i + k))
            upper |= (number >> 8) << (2 * k)
        store_u8(out + 64 + i, upper)
    pack_nibbles(scales, 16, out + 72)
