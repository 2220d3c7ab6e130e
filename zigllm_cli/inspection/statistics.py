"""One tensor in numbers: extremes, mean, spread, histogram, what is not finite.

Sums are kept in 64 bits and merged chunk by chunk by the parallel form of Welford's method (Chan,
Golub, LeVeque 1983), so that the mean of a million values near 1000 is still exact to a few ulp.
Two passes: the histogram needs the range first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from zigllm_cli.gguf import Tensor
from zigllm_cli.inspection.values import Values, chunks, finite_part, wide

BINS = 64
FIRST = 8
"""Values that are shown as they are."""
WIDE = 6
"""Standard deviations beyond which values are counted but not drawn."""

Progress = Callable[[int], None]
"""Called with the bytes that were worked through since the last call."""


@dataclass(frozen=True)
class Histogram:
    """Counts of finite values in `len(counts)` equal bins from `low` to `high`.

    Attributes:
        below, above: finite values outside.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    below: int
    above: int


@dataclass(frozen=True)
class Statistics:
    """Numbers about all values of one tensor; extremes, mean and spread of the finite ones.

    Attributes:
        std: population standard deviation.
        minimum, maximum, mean, std, histogram: None where no value is finite.
        first: the first values, in file order.
    """

    count: int
    nan: int
    positive_infinity: int
    negative_infinity: int
    zeros: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None
    rms: float | None
    first: tuple[float, ...]
    histogram: Histogram | None


class _Moments:
    """Count, mean and squared deviations of values that arrive in chunks."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.deviations = 0.0
        self.minimum = inf
        self.maximum = -inf

    def add(self, values: Values) -> None:
        """Take finite values into account."""
        if not values.size:
            return
        exact = wide(values)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(exact.mean())
            exact -= mean
            deviations = float(exact @ exact)
        total = self.count + values.size
        shift = mean - self.mean
        self.mean += shift * values.size / total
        self.deviations += deviations + shift * shift * self.count * values.size / total
        self.count = total
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

    @property
    def std(self) -> float:
        """Population standard deviation."""
        return sqrt(self.deviations / self.count)


def statistics(tensor: Tensor, progress: Progress | None = None) -> Statistics:
    """Read all values of `tensor`, twice, and describe them.

    Raises:
        UnsupportedError: values of this type cannot be decoded.
    """
    moments = _Moments()
    nan = positive = negative = zeros = 0
    first: list[float] = []
    for values in _followed(tensor, progress):
        if len(first) < FIRST:
            first += values[: FIRST - len(first)].tolist()
        finite = finite_part(values)
        if finite.size < values.size:
            nan += int(np.isnan(values).sum())
            positive += int(np.isposinf(values).sum())
            negative += int(np.isneginf(values).sum())
        zeros += int(values.size - np.count_nonzero(values))
        moments.add(finite)
    some = moments.count > 0
    return Statistics(
        count=tensor.n_elements,
        nan=nan,
        positive_infinity=positive,
        negative_infinity=negative,
        zeros=zeros,
        minimum=moments.minimum if some else None,
        maximum=moments.maximum if some else None,
        mean=moments.mean if some else None,
        std=moments.std if some else None,
        rms=sqrt(moments.mean**2 + moments.std**2) if some else None,
        first=tuple(first),
        histogram=_histogram(tensor, moments, progress) if some else None,
    )


def _histogram(tensor: Tensor, moments: _Moments, progress: Progress | None) -> Histogram:
    low = max(moments.minimum, moments.mean - WIDE * moments.std)
    high = min(moments.maximum, moments.mean + WIDE * moments.std)
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(low, high, BINS + 1)
    if not (np.diff(edges) > 0).all():  # one value only, or too near or too far to divide
        _advance(progress, tensor.nbytes)
        return Histogram(moments.minimum, moments.maximum, (moments.count,), 0, 0)
    counts = np.zeros(BINS, np.int64)
    below = above = 0
    for values in _followed(tensor, progress):
        exact = wide(finite_part(values))
        counts += np.histogram(exact, BINS, (low, high))[0]
        below += int((exact < low).sum())
        above += int((exact > high).sum())
    return Histogram(low, high, tuple(counts.tolist()), below, above)


def _followed(tensor: Tensor, progress: Progress | None) -> Iterator[Values]:
    size = tensor.type.bits_per_weight / 8
    for values in chunks(tensor):
        yield values
        _advance(progress, round(values.size * size))


def _advance(progress: Progress | None, size: int) -> None:
    if progress is not None:
        progress(size)
