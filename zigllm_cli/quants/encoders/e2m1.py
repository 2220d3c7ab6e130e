"""MXFP4 and NVFP4: floats of four bits, and a scale that is a float of eight bits.

    MXFP4  32 values share a power of two: that of the largest magnitude, divided by four
    NVFP4  16 values share a number of 4 bits exponent and 3 mantissa: largest magnitude / 6

A value becomes the nearest of the sixteen floats, the first of two as near. Importance does not
matter.
"""

import numpy as np
from numba import types

from zigllm_cli.quants.encoders.lanes import (
    codes_out,
    every_lane,
    lanes_in,
    magnitude,
    part,
)
from zigllm_cli.quants.encoders.plain import pack_four
from zigllm_cli.quants.levels import E2M1
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import absolute, fill, greater, select
from zigllm_cli.simd.convert import half_of_e4m3, half_of_e8m0
from zigllm_cli.simd.emit import emit, offset, store
from zigllm_cli.simd.memory import (
    load_f32x16,
    load_i32,
    load_i32x16,
    load_u8,
    stack_room,
    store_i32,
    store_u8,
    store_vec,
)
from zigllm_cli.simd.vector import f32x16, i32x16

values_room, codes_room = stack_room(64 * 32), stack_room(64 * 32)
bytes_room, bits_room, exponents_room = stack_room(16 * 32), stack_room(64), stack_room(64)
points_room = stack_room(64 * 16)
no_code, six = fill(i32x16, 0), fill(f32x16, 6.0)


def tables(name):
    """For MXFP4, from which mantissa on log2f rounds up to a whole number: int32 by exponent field.

    The reference takes floor(log2f(x)), which is one more than the exponent for numbers just
    below a power of two.
    """
    if name != "MXFP4":
        return None
    exponents = np.arange(256) - 127
    below = 1 - np.arange(1, 129) / 2.0**24
    logarithms = np.log2(below)[None, :] + (exponents + 1)[:, None]
    rounded_up = logarithms.astype(np.float32) == (exponents + 1)[:, None]
    return (0x800000 - rounded_up.sum(axis=1)).astype(np.int32)


def encoder(name, weighted):
    """See `encoders`."""
    return mxfp4 if name == "MXFP4" else nvfp4


@emit(types.void, types.int64, f32x16)
def store_points(b, p, scale):
    """The sixteen floats times the scale of each lane."""
    for k, level in enumerate(E2M1):
        store(b, offset(b, p, 64 * k), b.fmul(f32x16.constant([level] * 16), scale))


@part
def nearest_points(x, n, scale, codes):
    """Codes of the float nearest to each value, the scale being that of its lane."""
    points = points_room()
    store_points(points, scale)
    for i in range(n):
        v = load_f32x16(x + 64 * i)
        code, least = no_code(), absolute(load_f32x16(points) - v)
        for k in range(1, 16):
            error = absolute(load_f32x16(points + 64 * k) - v)
            nearer = greater(least, error)
            code, least = select(nearer, every_lane(k), code), select(nearer, error, least)
        store_vec(codes + 64 * i, code)


@part
def floor_of_log2(bits, rounding):
    """floor(log2f(x)) of a positive float by its bits."""
    exponent, mantissa = bits >> 23, bits & 0x7FFFFF
    if exponent == 0:  # a number without its leading one
        exponent = 1
        while not mantissa & 0x800000:
            mantissa <<= 1
            exponent -= 1
        return exponent - 127
    return exponent - 127 + (mantissa >= load_i32(rounding + 4 * exponent))


@part
def mxfp4(x, w, s, tables, out):
    values, codes, natural = values_room(), codes_room(), bytes_room()
    bits, exponents = bits_room(), exponents_room()
    lanes_in(x, 32, values)
    store_vec(bits, magnitude(values, 32))
    for block in range(16):
        word = load_i32(bits + 4 * block)
        exponent = (floor_of_log2(word, tables) + 125) & 255 if word > 0 else 0
        store_i32(exponents + 4 * block, exponent)
        store_u8(out + 17 * block, exponent)
    nearest_points(values, 32, half_of_e8m0(load_i32x16(exponents)), codes)
    codes_out(codes, 32, natural)
    for block in range(16):
        pack_four(natural + 32 * block, out + 17 * block + 1)


@emit(i32x16, f32x16)
def e4m3_of(b, x):
    """Floats to bits of 4 bits exponent and 3 mantissa; halves are rounded up, 0x7E is the most.

    The reference looks at one bit below the mantissa only.
    """

    def lanes(value):
        return i32x16.constant([value] * 16)

    real, zero = f32x16.constant, lanes(0)
    positive = b.fcmp_ordered(">", x, real([0.0] * 16))
    x = b.select(b.fcmp_ordered(">", x, real([448.0] * 16)), real([448.0] * 16), x)
    bits = b.bitcast(x, i32x16.ir)
    # exponent and mantissa as one number: a carry out of the mantissa raises the exponent
    joined = b.sub(b.lshr(bits, lanes(20)), lanes(120 << 3))
    rounded = b.add(joined, b.and_(b.lshr(bits, lanes(19)), lanes(1)))
    normal = b.select(b.icmp_signed("<", rounded, lanes(15 << 3)), rounded, lanes(0x7E))
    steps = b.fadd(b.fmul(x, real([512.0] * 16)), real([0.5] * 16))
    steps = b.select(b.fcmp_ordered("<", steps, real([7.0] * 16)), steps, real([7.0] * 16))
    small = b.fptosi(steps, i32x16.ir)
    value = b.select(b.icmp_signed("<", joined, lanes(8)), small, normal)
    return b.select(positive, value, zero)


@part
def nvfp4(x, w, s, tables, out):
    """A block is four groups of 16; a group's codes are 8 bytes, first half in low nibbles."""
    values, codes, natural = values_room(), codes_room(), bytes_room()
    for four in range(4):
        lanes_in(x + 1024 * four, 16, values)
        scale = e4m3_of(magnitude(values, 16) / six())
        nearest_points(values, 16, half_of_e4m3(scale), codes)
        codes_out(codes, 16, natural)
        store_vec(codes, scale)
        for group in range(16):
            start = out + 36 * (group // 4)
            store_u8(start + group % 4, load_i32(codes + 4 * group))
            for i in range(8):
                at = natural + 16 * group + i
                byte = load_u8(at) | load_u8(at + 8) << 4
                store_u8(start + 4 + 8 * (group % 4) + i, byte)
        out += 4 * 36
