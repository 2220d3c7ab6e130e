"""exp of float32, to the last bit as the reference converter's torch computes it.

The converter's `-torch.exp(A_log)` is up to 0.557 units in the last place off, so one value in a
hundred is not the exponential rounded once. It is Tang's table-driven method (P. T. P. Tang, ACM
Transactions on Mathematical Software 15, 1989): with x = n ln(2)/128 + r and |r| <= ln(2)/256,

    exp(x) = 2^(n/128) (1 + r + r^2/2)

where every operation is rounded to float32 and none is fused. Learnt from the answers alone, and
equal for all 2^32 floats: `python scripts/compare_exp_with_torch.py`. torch (its MKL) takes this
way on every x86 processor but Intel's with AVX2, and there too with MKL_CBWR=COMPATIBLE.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from math import log

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PARTS = 128
"""The table's powers of two between 1 and 2."""

HIGH = np.float32(355 / 2**16)
"""ln(2)/128 in ten bits: its product with any n is exact."""

LOW = np.float32(log(2) / PARTS - 355 / 2**16)

NORMAL = np.float32(126 * log(2))
"""From here on results are near float32's limits, and rounded once."""


def torch_exp(x: Floats) -> Floats:
    """exp of each number."""
    inside = np.abs(x) < NORMAL
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rounded_once = np.exp(x.astype(np.float64)).astype(np.float32)
    return np.where(inside, _by_table(np.where(inside, x, np.float32(0))), rounded_once)


def _by_table(x: Floats) -> Floats:
    power, rest = _powers()
    n = np.rint(x * np.float32(PARTS / log(2)))
    r = x - n * HIGH - n * LOW
    doublings, entry = np.divmod(n.astype(np.int32), PARTS)
    high = power[entry]
    series = r + r * r * np.float32(0.5)
    scaled: Floats = np.ldexp(high + (rest[entry] + high * series), doublings)
    return scaled


@cache
def _powers() -> tuple[Floats, Floats]:
    """2^(j/128), and what rounding it to float32 took away: float64 is too coarse for that."""
    with localcontext(prec=30):
        exact = [Decimal(2) ** (Decimal(j) / PARTS) for j in range(PARTS)]
        power = np.array(exact, np.float64).astype(np.float32)
        rest = [float(e - Decimal(float(p))) for e, p in zip(exact, power, strict=True)]
    return power, np.array(rest, np.float32)
