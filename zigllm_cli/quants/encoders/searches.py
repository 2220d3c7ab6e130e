"""The searches for scales that most encoders are made of, sixteen groups at once.

Each is a function of ggml's reference (`make_qx_quants`, `make_qkx2/3_quants`, `make_qp_quants`,
`make_q3_quants`), with its order of operations. A group is n vectors at x, its weights n at w;
codes are n vectors of integers.
"""

import numpy as np

from zigllm_cli.quants.encoders.lanes import (
    GROUP_EPSILON,
    any_lane,
    at_least,
    clamp,
    clear_codes,
    differs,
    extrema,
    farthest_from_zero,
    is_nonzero,
    nearest,
    negative,
    one,
    part,
    zero,
)
from zigllm_cli.simd.arithmetic import absolute, fill, greater, select, splat_f32x16
from zigllm_cli.simd.convert import to_f32
from zigllm_cli.simd.memory import load_f32x16, load_i32x16, store_vec
from zigllm_cli.simd.vector import f32x16, i32x16

TENTH = np.float32(0.1)
epsilon = fill(f32x16, GROUP_EPSILON)
low_byte = fill(i32x16, 255)


def symmetric(n, levels):
    """The search (x, w, codes) -> scale: x ~ scale * (code - levels), codes 0 .. 2 levels - 1.

    Nineteen scales around the one that fits the largest magnitude are tried; for each the best
    multiplier of the rounded values has a closed form.
    """
    bounded, top = clamp(-levels, levels - 1), np.float32(levels)
    shift = fill(i32x16, levels)

    @part
    def sums(x, w, inverse):
        sumlx = suml2 = zero()
        for i in range(n):
            v, weight = load_f32x16(x + 64 * i), load_f32x16(w + 64 * i)
            code = to_f32(bounded(nearest(inverse * v)))
            sumlx = sumlx + weight * v * code
            suml2 = suml2 + weight * code * code
        return sumlx, suml2

    @part
    def search(x, w, codes):
        extreme, peak = farthest_from_zero(x, n)
        inverse = splat_f32x16(-top) / extreme
        sumlx, suml2 = sums(x, w, inverse)
        scale = select(is_nonzero(suml2), sumlx / suml2, zero())
        best = scale * sumlx
        for step in range(-9, 10):
            if step == 0:
                continue
            trial = splat_f32x16(-(top + TENTH * np.float32(step))) / extreme
            sumlx, suml2 = sums(x, w, trial)
            better = greater(suml2, zero()) & greater(sumlx * sumlx, best * suml2)
            found = sumlx / suml2
            scale = select(better, found, scale)
            best = select(better, found * sumlx, best)
            inverse = select(better, trial, inverse)
        empty = greater(epsilon(), peak)
        for i in range(n):
            code = bounded(nearest(inverse * load_f32x16(x + 64 * i))) + shift()
            store_vec(codes + 64 * i, code)
        clear_codes(codes, n, empty)
        return select(empty, zero(), scale)

    return search


def with_minimum(n, levels, first, delta, steps, by_magnitude):
    """The search (x, w, codes) -> (scale, m): x ~ scale * code - m, m >= 0, codes 0 .. levels.

    For each of steps + 1 roundings, made with levels + first + delta * step, the scale and
    minimum of least squares have a closed form; the one with the least error (weighted squares,
    or magnitudes) is kept.
    """
    bounded, top = clamp(0, levels), np.float32(levels)
    first, delta = np.float32(first), np.float32(delta)

    @part
    def error(difference):
        return absolute(difference) if by_magnitude else difference * difference

    @part
    def round_all(x, codes, inverse, low):
        for i in range(n):
            code = bounded(nearest(inverse * (load_f32x16(x + 64 * i) - low)))
            store_vec(codes + 64 * i, code)

    @part
    def total_error(x, w, codes, scale, low):
        total = zero()
        for i in range(n):
            code = to_f32(load_i32x16(codes + 64 * i))
            difference = scale * code + low - load_f32x16(x + 64 * i)
            total = total + load_f32x16(w + 64 * i) * error(difference)
        return total

    @part
    def search(x, w, codes):
        low, high = extrema(x, n)
        weight = load_f32x16(w)
        sum_w, sum_x = weight, weight * load_f32x16(x)
        for i in range(1, n):
            weight = load_f32x16(w + 64 * i)
            sum_w = sum_w + weight
            sum_x = sum_x + weight * load_f32x16(x + 64 * i)
        low = select(greater(low, zero()), zero(), low)
        flat, start = at_least(low, high), low
        inverse = splat_f32x16(top) / (high - low)
        scale = one() / inverse
        round_all(x, codes, inverse, low)
        least = total_error(x, w, codes, scale, low)
        kept_inverse, kept_low = inverse, low
        for step in range(steps + 1):
            inverse = splat_f32x16(first + delta * np.float32(step) + top) / (high - low)
            sum_l = sum_l2 = sum_xl = zero()
            for i in range(n):
                v, weight = load_f32x16(x + 64 * i), load_f32x16(w + 64 * i)
                code = bounded(nearest(inverse * (v - low)))
                store_vec(codes + 64 * i, code)
                real = to_f32(code)
                weighted = weight * real
                sum_l = sum_l + weighted
                sum_l2 = sum_l2 + weighted * real
                sum_xl = sum_xl + weighted * v
            determinant = sum_w * sum_l2 - sum_l * sum_l
            new_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant
            new_low = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
            above = greater(new_low, zero())
            new_low = select(above, zero(), new_low)
            new_scale = select(above, sum_xl / sum_l2, new_scale)
            total = total_error(x, w, codes, new_scale, new_low)
            better = greater(determinant, zero()) & greater(least, total)
            kept_inverse = select(better, inverse, kept_inverse)
            kept_low = select(better, low, kept_low)
            least = select(better, total, least)
            scale = select(better, new_scale, scale)
            low = select(better, new_low, low)
        round_all(x, codes, kept_inverse, kept_low)
        clear_codes(codes, n, flat)
        low = select(flat, start, low)
        return select(flat, zero(), scale), negative(low)

    return search


def positive(n, levels):
    """The search (x, w, codes) -> scale: x ~ scale * code for x >= 0, codes 0 .. levels.

    Nine scales are tried, then codes are moved one by one while the fit gets better. Codes are
    bytes in the reference, where a negative one turns round; so they do here.
    """
    bounded, top = clamp(None, levels), np.float32(levels)

    @part
    def total_error(x, w, inverse, scale):
        total = zero()
        for i in range(n):
            v = load_f32x16(x + 64 * i)
            difference = v - scale * to_f32(bounded(nearest(inverse * v)))
            total = total + load_f32x16(w + 64 * i) * difference * difference
        return total

    @part
    def first_error(x, w, inverse, scale):
        total = zero()
        for i in range(n):
            v = load_f32x16(x + 64 * i)
            difference = v - scale * to_f32(nearest(inverse * v) & low_byte())
            total = total + load_f32x16(w + 64 * i) * difference * difference
        return total

    @part
    def search(x, w, codes):
        peak = zero()
        for i in range(n):
            v = load_f32x16(x + 64 * i)
            peak = select(greater(peak, v), peak, v)
        inverse = splat_f32x16(top) / peak
        least = first_error(x, w, inverse, one() / inverse)
        for step in range(-4, 5):
            if step == 0:
                continue
            trial = splat_f32x16(TENTH * np.float32(step) + top) / peak
            total = total_error(x, w, trial, one() / trial)
            better = greater(least, total)
            least, inverse = select(better, total, least), select(better, trial, inverse)
        sumlx = suml2 = zero()
        for i in range(n):
            v, weight = load_f32x16(x + 64 * i), load_f32x16(w + 64 * i)
            code = bounded(nearest(inverse * v))
            store_vec(codes + 64 * i, code & low_byte())
            sumlx = sumlx + weight * v * to_f32(code)
            suml2 = suml2 + weight * to_f32(code) * to_f32(code)
        for _ in range(5):
            changed = False
            for i in range(n):
                v, weight = load_f32x16(x + 64 * i), load_f32x16(w + 64 * i)
                code = load_i32x16(codes + 64 * i)
                real = to_f32(code)
                slx = sumlx - weight * v * real
                sl2 = suml2 - weight * real * real
                moved = bounded(nearest(v * sl2 / slx))
                able = greater(slx, zero()) & greater(sl2, zero()) & differs(moved, code)
                slx = slx + weight * v * to_f32(moved)
                sl2 = sl2 + weight * to_f32(moved) * to_f32(moved)
                better = able & greater(slx * slx * suml2, sumlx * sumlx * sl2)
                if any_lane(better):
                    changed = True
                    store_vec(codes + 64 * i, select(better, moved & low_byte(), code))
                    sumlx, suml2 = select(better, slx, sumlx), select(better, sl2, suml2)
            if not changed:
                break
        empty = greater(epsilon(), peak)
        clear_codes(codes, n, empty)
        scale = select(greater(suml2, zero()), sumlx / suml2, zero())
        return select(empty, zero(), scale)

    return search


def by_squares(n, levels):
    """The search (x, codes) -> scale of Q3_K without importance: weights are the squares of x.

    From the scale of the largest magnitude on, codes are moved one by one while the fit gets
    better, five times through.
    """
    bounded, top = clamp(-levels, levels - 1), np.float32(levels)
    shift = fill(i32x16, levels)

    @part
    def search(x, codes):
        extreme, peak = farthest_from_zero(x, n)
        inverse = splat_f32x16(-top) / extreme
        sumlx = suml2 = zero()
        for i in range(n):
            v = load_f32x16(x + 64 * i)
            code = bounded(nearest(inverse * v))
            store_vec(codes + 64 * i, code)
            sumlx = sumlx + v * v * v * to_f32(code)
            suml2 = suml2 + v * v * to_f32(code) * to_f32(code)
        for _ in range(5):
            changed = False
            for i in range(n):
                v, code = load_f32x16(x + 64 * i), load_i32x16(codes + 64 * i)
                weight, real = v * v, to_f32(code)
                slx = sumlx - weight * v * real
                sl2 = suml2 - weight * real * real
                moved = bounded(nearest(v * sl2 / slx))
                able = greater(slx, zero()) & differs(moved, code)
                slx = slx + weight * v * to_f32(moved)
                sl2 = sl2 + weight * to_f32(moved) * to_f32(moved)
                better = greater(slx * slx * suml2, sumlx * sumlx * sl2)
                better = able & greater(sl2, zero()) & better
                if any_lane(better):
                    changed = True
                    store_vec(codes + 64 * i, select(better, moved, code))
                    sumlx, suml2 = select(better, slx, sumlx), select(better, sl2, suml2)
            if not changed:
                break
        for i in range(n):
            store_vec(codes + 64 * i, load_i32x16(codes + 64 * i) + shift())
        empty = greater(epsilon(), peak)
        clear_codes(codes, n, empty)
        scale = select(greater(suml2, zero()), sumlx / suml2, zero())
        return select(empty, zero(), scale)

    return search
