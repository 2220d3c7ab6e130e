"""IQ3_XXS and IQ3_S: four magnitudes 1, 3 .. 15 at once, from code books of 256 and 512."""

from typing import Any

from zigllm_cli.gguf.types import tensor_type
from zigllm_cli.quants.encoders.iq2 import pack_nibbles
from zigllm_cli.quants.encoders.lanes import part, squares_in, weigh
from zigllm_cli.quants.encoders.lattice_search import Search, encode_with
from zigllm_cli.quants.encoders.neighbours import tables as tables
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill
from zigllm_cli.simd.memory import (
    load_u8,
    load_u16,
    store_i32,
    store_u8,
)
from zigllm_cli.simd.vector import f32x16

PER_POINT: Any = {"n": 32, "width": 4, "bits": 3, "top": 7, "delta": 0.2}
SEARCH = {
    "IQ3_XXS": Search(tries=15, even_signs=True, least=1e-8, **PER_POINT),
    "IQ3_S": Search(tries=9, even_signs=False, least=2.0**-149, refine="all", **PER_POINT),
}
FUDGE = {"IQ3_XXS": 1.0125, "IQ3_S": 1.033}


def encoder(name, weighted):
    """See `encoders`."""
    how, two = SEARCH[name], fill(f32x16, 2.0)
    n = how.n

    @part
    def make_weights(x, w, mean_square, given):
        if given:
            weigh(x, w, two() * mean_square, n)
        else:
            squares_in(x, w, n)

    pack = pack_xxs if name == "IQ3_XXS" else pack_s
    block_bytes = tensor_type(name).block_bytes
    return encode_with(how, make_weights, pack, block_bytes, FUDGE[name])


@part
def pack_xxs(numbers, signs, scales, out):
    """64 numbers of 8 bits; per 32 values four times seven signs and a scale of four bits."""
    for i in range(64):
        store_u8(out + i, load_u16(numbers + 2 * i))
    for i in range(8):
        word = load_u8(scales + i) << 28
        for k in range(4):
            word |= load_u8(signs + 4 * i + k) << (7 * k)
        store_i32(out + 64 + 4 * i, word)


@part
def pack_s(numbers, signs, scales, out):
    """Low bytes of 64 numbers, their ninth bits, 32 bytes of signs, eight scales."""
    for i in range(8):
        upper = 0
        for k in range(8):
            number = load_u16(numbers + 16 * i + 2 * k)
            store_u8(out + 8 * i + k, number)
            upper |= (number >> 8) << k
        store_u8(out + 64 + i, upper)
    for i in range(32):
        store_u8(out + 72 + i, load_u8(signs + i))
    pack_nibbles(scales, 8, out + 104)
