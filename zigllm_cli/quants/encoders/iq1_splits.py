"""The best split of values into -1, 0 and 1 times a scale, exactly, sixteen groups at once.

Values stand in ascending order; a split is two places i1 <= i2: what is before i1 is lowest, what
is from i2 on highest. With sums S of weight * x and W of weights up to each place, the error of
every split and both shifts of the three levels is a few operations.
"""

import numpy as np
from llvmlite import ir
from numba import types

from zigllm_cli.quants.encoders.lanes import any_lane, every_lane, part, zero
from zigllm_cli.simd import operators as operators
from zigllm_cli.simd.arithmetic import fill, greater, select
from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.memory import load_f32x16, load_i32x16, stack_room, store_vec
from zigllm_cli.simd.vector import f32x16, i32x16, mask16

LOWEST = float(np.finfo(np.float32).min)
worst, nowhere, none = fill(f32x16, LOWEST), fill(i32x16, -1), fill(i32x16, 0)
UP, DOWN = ([np.float32(v + shift) for v in (-1, 0, 1)] for shift in (0.125, -0.125))


@emit(mask16, f32x16, f32x16, i32x16, i32x16)
def comes_later(b, x, y, i, j):
    """(x, i) > (y, j): by value, of equal ones by number."""
    tie = b.and_(b.fcmp_ordered("==", x, y), b.icmp_signed(">", i, j))
    return b.or_(b.fcmp_ordered(">", x, y), tie)


def sort_lanes(n):
    """A function (keys, weights, numbers): each lane's keys in ascending order, stably.

    Batcher's odd-even merge sort; weights and numbers (of the places before) move along.
    """

    @part
    def exchange(keys, weights, numbers, i, j):
        x, y = load_f32x16(keys + 64 * i), load_f32x16(keys + 64 * j)
        v, w = load_f32x16(weights + 64 * i), load_f32x16(weights + 64 * j)
        p, q = load_i32x16(numbers + 64 * i), load_i32x16(numbers + 64 * j)
        later = comes_later(x, y, p, q)
        store_vec(keys + 64 * i, select(later, y, x))
        store_vec(keys + 64 * j, select(later, x, y))
        store_vec(weights + 64 * i, select(later, w, v))
        store_vec(weights + 64 * j, select(later, v, w))
        store_vec(numbers + 64 * i, select(later, q, p))
        store_vec(numbers + 64 * j, select(later, p, q))

    @part
    def sort(keys, weights, numbers):
        for i in range(n):
            store_vec(numbers + 64 * i, every_lane(i))
        size = 1
        while size < n:
            gap = size
            while gap:
                for start in range(gap % size, n - gap, 2 * gap):
                    for i in range(start, start + min(gap, n - start - gap)):
                        if i // (2 * size) == (i + gap) // (2 * size):
                            exchange(keys, weights, numbers, i, i + gap)
                gap //= 2
            size *= 2

    return sort


def best_split(n):
    """A function (keys, weights, first, second, up) -> scale for one shift of all levels.

    first and second get the two places (-1: no split has a scale), up 1 where the levels are
    raised by an eighth, 0 where lowered.
    """
    sums_room, weight_sums_room = stack_room(64 * (n + 1)), stack_room(64 * (n + 1))
    up0, up1, up2 = (fill(f32x16, float(v)) for v in UP)
    down0, down1, down2 = (fill(f32x16, float(v)) for v in DOWN)

    @part
    def split(keys, weights, first, second, up):
        sums, weight_sums = sums_room(), weight_sums_room()
        total, weight_total = zero(), zero()
        store_vec(sums, total)
        store_vec(weight_sums, weight_total)
        for i in range(n):
            w = load_f32x16(weights + 64 * i)
            total = total + w * load_f32x16(keys + 64 * i)
            weight_total = weight_total + w
            store_vec(sums + 64 * i + 64, total)
            store_vec(weight_sums + 64 * i + 64, weight_total)
        best, scale = worst(), zero()
        place1, place2, raised = nowhere(), nowhere(), none()
        for i1 in range(n + 1):
            low, low_w = load_f32x16(sums + 64 * i1), load_f32x16(weight_sums + 64 * i1)
            for i2 in range(i1, n + 1):
                upto, upto_w = load_f32x16(sums + 64 * i2), load_f32x16(weight_sums + 64 * i2)
                mid, mid_w = upto - low, upto_w - low_w
                high, high_w = total - upto, weight_total - upto_w
                for turn in range(2):
                    if turn == 0:
                        sumqx = low * up0() + mid * up1() + high * up2()
                        sumq2 = low_w * up0() * up0() + mid_w * up1() * up1()
                        sumq2 = sumq2 + high_w * up2() * up2()
                    else:
                        sumqx = low * down0() + mid * down1() + high * down2()
                        sumq2 = low_w * down0() * down0() + mid_w * down1() * down1()
                        sumq2 = sumq2 + high_w * down2() * down2()
                    better = greater(sumq2, zero()) & greater(sumqx * sumqx, best * sumq2)
                    if any_lane(better):
                        found = sumqx / sumq2
                        scale = select(better, found, scale)
                        best = select(better, found * sumqx, best)
                        place1 = select(better, every_lane(i1), place1)
                        place2 = select(better, every_lane(i2), place2)
                        raised = select(better, every_lane(1 - turn), raised)
        store_vec(first, place1)
        store_vec(second, place2)
        store_vec(up, raised)
        return scale

    return split


def best_halves_split(n):
    """As `best_split`, with a shift for each half of the places that the values came from.

    `choice` gets 0 to 3 instead of `up`: bit 1 where the first half's levels are lowered, bit 0
    where the second's are. `numbers` are the values' places before they were sorted.
    """
    width = 64 * (n + 1)
    sums_room, weight_sums_room = stack_room(2 * width), stack_room(2 * width)
    middle = fill(i32x16, n // 2)
    up2, down2 = (fill(f32x16, float(levels[2])) for levels in (UP, DOWN))
    # what an element costs more when its level is one lower: differences of squares
    up01, up12 = (fill(f32x16, float(UP[i] * UP[i] - UP[i + 1] * UP[i + 1])) for i in range(2))
    down01, down12 = (
        fill(f32x16, float(DOWN[i] * DOWN[i] - DOWN[i + 1] * DOWN[i + 1])) for i in range(2)
    )

    @part
    def prefix_sums(keys, weights, numbers, sums, weight_sums):
        for half in range(2):
            total, weight_total = zero(), zero()
            store_vec(sums + width * half, total)
            store_vec(weight_sums + width * half, weight_total)
            for i in range(n):
                w = load_f32x16(weights + 64 * i)
                mine = less(load_i32x16(numbers + 64 * i), middle(), half)
                more = total + w * load_f32x16(keys + 64 * i)
                total = select(mine, more, total)
                weight_total = select(mine, weight_total + w, weight_total)
                store_vec(sums + width * half + 64 * i + 64, total)
                store_vec(weight_sums + width * half + 64 * i + 64, weight_total)

    @part
    def of_half(sums, weight_sums, i1, i2):
        """sumqx and sumq2 of a half, raised and lowered."""
        total, weight_total = load_f32x16(sums + 64 * n), load_f32x16(weight_sums + 64 * n)
        both = load_f32x16(sums + 64 * i1) + load_f32x16(sums + 64 * i2)
        w1, w2 = load_f32x16(weight_sums + 64 * i1), load_f32x16(weight_sums + 64 * i2)
        raised = weight_total * up2() * up2() + w1 * up01() + w2 * up12()
        lowered = weight_total * down2() * down2() + w1 * down01() + w2 * down12()
        return total * up2() - both, total * down2() - both, raised, lowered

    @part
    def split(keys, weights, numbers, first, second, choice):
        sums, weight_sums = sums_room(), weight_sums_room()
        prefix_sums(keys, weights, numbers, sums, weight_sums)
        best, scale = worst(), zero()
        place1, place2, chosen = nowhere(), nowhere(), none()
        for i1 in range(n + 1):
            for i2 in range(i1, n + 1):
                x_up0, x_down0, up0, down0 = of_half(sums, weight_sums, i1, i2)
                x_up1, x_down1, up1, down1 = of_half(sums + width, weight_sums + width, i1, i2)
                for k in range(4):
                    sumqx = (x_up0 if k < 2 else x_down0) + (x_down1 if k & 1 else x_up1)
                    sumq2 = (up0 if k < 2 else down0) + (down1 if k & 1 else up1)
                    better = greater(sumq2, zero()) & greater(sumqx * sumqx, best * sumq2)
                    if any_lane(better):
                        found = sumqx / sumq2
                        scale = select(better, found, scale)
                        best = select(better, found * sumqx, best)
                        place1 = select(better, every_lane(i1), place1)
                        place2 = select(better, every_lane(i2), place2)
                        chosen = select(better, every_lane(k), chosen)
        store_vec(first, place1)
        store_vec(second, place2)
        store_vec(choice, chosen)
        return scale

    return split


@emit(mask16, i32x16, i32x16, types.int64)
def less(b, x, y, turned):
    """x < y in each lane, or x >= y if turned."""
    mask = b.icmp_signed("<", x, y)
    is_turned = b.icmp_signed("!=", turned, ir.Constant(turned.type, 0))
    return b.select(is_turned, b.not_(mask), mask)
