"""From sums to the figures that are reported: perplexity, divergence, and their errors.

With n scored tokens, L the mean of -ln p and V the mean square less L^2, as llama-perplexity
has it:

    perplexity = e^L        error = perplexity * sqrt(V / (n - 1))

Sums of chunks are added in the order of the chunks, so that pieces evaluated apart and merged
give the same figures to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, inf, log, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.evaluate.chunks import BaseSums, Chunk

FEWEST = 10
"""Values from which on an error is worth telling."""

SUMMED = tuple(BaseSums.__dataclass_fields__)[:9]

Pair = tuple[float, float]
"""A value and its error."""


@dataclass
class Totals:
    """Sums over the chunks that were added, in order."""

    chunks: int = 0
    count: int = 0
    nll: float = 0.0
    nll_squared: float = 0.0
    bytes: int = 0
    characters: int = 0
    base: BaseTotals | None = None

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk in."""
        self.chunks += 1
        for name in ("count", "nll", "nll_squared", "bytes", "characters"):
            setattr(self, name, getattr(self, name) + getattr(chunk, name))
        if chunk.base is not None:
            self.base = self.base or BaseTotals()
            self.base.add(chunk.base)

    @property
    def log_perplexity(self) -> Pair:
        """Mean of -ln p, in nats per token."""
        return mean_and_error(self.nll, self.nll_squared, self.count)

    @property
    def perplexity(self) -> Pair:
        """e to the mean of -ln p."""
        return raised(self.log_perplexity)

    @property
    def bits_per_token(self) -> float:
        """Mean of -log2 p."""
        return self._bits(self.count)

    @property
    def bits_per_byte(self) -> float:
        """-log2 p over the UTF-8 bytes of the scored tokens."""
        return self._bits(self.bytes)

    @property
    def bits_per_character(self) -> float:
        """-log2 p over the characters of the scored tokens."""
        return self._bits(self.characters)

    def _bits(self, count: int) -> float:
        return self.nll / log(2) / count if count else nan


@dataclass
class BaseTotals:
    """Sums that compare with a base model, and the values whose percentiles are wanted."""

    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))
    klds: list[NDArray[Any]] = field(default_factory=list)
    dps: list[NDArray[Any]] = field(default_factory=list)

    def add(self, sums: BaseSums) -> None:
        """Take the next chunk in."""
        for name in SUMMED:
            self.sums[name] += getattr(sums, name)
        self.klds.append(sums.klds)
        self.dps.append(sums.dps)


@dataclass(frozen=True)
class Comparison:
    """A model beside its base, as llama-perplexity's `--kl-divergence` reports it.

    Attributes:
        base_perplexity: of the base on the same tokens.
        correlation: of the two models' -ln p, 1 at most.
        log_ratio, ratio, difference: of the perplexities, model to base.
        kld: mean divergence from the base.
        dp: mean change of the right token's probability.
        rms_dp: root of its mean square.
        same_top: share of tokens where both find the same one likeliest.
        klds, dps: of all tokens, sorted.
    """

    base_perplexity: Pair
    correlation: float
    log_ratio: Pair
    ratio: Pair
    difference: Pair
    kld: Pair
    dp: Pair
    rms_dp: Pair
    same_top: Pair
    klds: NDArray[np.float32]
    dps: NDArray[np.float32]

    @classmethod
    def of(cls, totals: Totals) -> Comparison:
        """From the sums, which must have those of a base."""
        assert totals.base is not None
        sums, n = totals.base.sums, totals.count
        own = totals.log_perplexity
        other = mean_and_error(sums["nll"], sums["nll_squared"], n)
        covariance = 0.0
        if n >= FEWEST:
            covariance = (sums["nll_product"] / n - own[0] * other[0]) / (n - 1)
        log_ratio = own[0] - other[0], _root(own[1] ** 2 + other[1] ** 2 - 2 * covariance)
        ppl, base_ppl = totals.perplexity, raised(other)
        spread = ppl[1] ** 2 + base_ppl[1] ** 2 - 2 * ppl[0] * base_ppl[0] * covariance
        square = mean_and_error(sums["dp_squared"], sums["dp_fourth"], n)
        rms = _root(square[0])
        return cls(
            base_perplexity=base_ppl,
            correlation=covariance / (own[1] * other[1]) if own[1] * other[1] else nan,
            log_ratio=log_ratio,
            ratio=raised(log_ratio),
            difference=(ppl[0] - base_ppl[0], _root(spread)),
            kld=mean_and_error(sums["kld"], sums["kld_squared"], n),
            dp=mean_and_error(sums["dp"], sums["dp_squared"], n),
            rms_dp=(rms, square[1] / (2 * rms) if rms else 0.0),
            same_top=share(int(sums["agreements"]), n),
            klds=np.sort(np.concatenate(totals.base.klds)),
            dps=np.sort(np.concatenate(totals.base.dps)),
        )


def mean_and_error(total: float, squares: float, count: int) -> Pair:
    """Mean of `count` values from their sum and sum of squares, and the mean's standard error."""
    if not count:
        return nan, nan
    mean = total / count
    variance = squares / count - mean**2
    return mean, sqrt(variance / (count - 1)) if variance > 0 and count > FEWEST else 0.0


def raised(pair: Pair) -> Pair:
    """e to a value; its error to first order."""
    try:
        value = exp(pair[0])
    except OverflowError:
        value = inf
    return value, value * pair[1]


def share(hits: int, count: int) -> Pair:
    """A share and its standard error."""
    if not count:
        return nan, nan
    part = hits / count
    return part, sqrt(part * (1 - part) / (count - 1)) if count > 1 else 0.0


def percentile(values: Sequence[float] | NDArray[Any], percent: float) -> float:
    """Of sorted values, linear between neighbours."""
    at = percent / 100 * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return float(values[low]) + (at - low) * (float(values[high]) - float(values[low]))


def _root(square: float) -> float:
    """Of what rounding may have made less than nothing."""
    return sqrt(max(square, 0.0))
