"""Fits the polynomial of `simd.math.gelu_erf`: the eighth root of the normal distribution's tail.

    python scripts/fit_gelu.py

Prints the coefficients, highest power first, for arguments of -8 to 0, and the largest error of
the GELU that comes of them when nothing is rounded. What counts is the error of x times the
tail, so the root may be coarse where the tail is small; it is made to pass through 0 at -7.95,
so that a GELU far below zero is zero. Minimax by Lawson's method: least squares, with the weights
of the largest errors raised again and again (Lawson 1961).
"""

import math

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial, chebyshev

POWER, DEGREE, LOW, ZERO = 8, 8, -8.0, -7.95
ROUNDS = 300


def fit() -> tuple[Polynomial, float]:
    """The polynomial, and the largest error of x * its eighth power."""
    points = np.cos((np.arange(4000) + 0.5) * np.pi / 4000)
    x = LOW * (points + 1) / 2
    tail = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in x])
    root = tail ** (1 / POWER)
    factor = np.maximum(-x, 0.5)  # near 0, where x * tail is small, its own digits count too
    slope = factor * POWER * root ** (POWER - 1)
    columns = chebyshev.chebvander(points, DEGREE - 1) * (1 - x / ZERO)[:, None]
    weights = np.full(len(x), 1 / len(x))
    best, least = np.zeros(DEGREE), math.inf
    for _ in range(ROUNDS):
        scale = np.sqrt(weights) * slope
        found = np.linalg.lstsq(columns * scale[:, None], root * scale, rcond=None)[0]
        error = factor * np.abs((columns @ found) ** POWER - tail)
        if error.max() < least:
            best, least = found, error.max()
        weights *= (error / error.max() + 1e-3) ** 0.7
        weights /= weights.sum()
    of_points = Chebyshev(best, domain=[0, LOW]).convert(domain=[-1, 1], kind=Polynomial)
    return of_points * Polynomial([1, -1 / ZERO]), least


if __name__ == "__main__":
    polynomial, error = fit()
    for coefficient in polynomial.coef[::-1]:
        print(f"{np.float32(coefficient):.8e}")
    print(f"largest error {error:.1e}")
