"""Rotary angles of every scaling kind, as numbers: what the plan's tables are filled from.

Su et al. 2021 (RoPE); linear: Chen et al. 2023; YaRN: Peng et al. 2023; llama-3 factors and
longrope come as tensors that divide the angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log, pi

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import InputError
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.tensors import Tensors
from zigllm_cli.plan.operations import Rotation

Floats = NDArray[np.floating]

SCALINGS = ("none", "linear", "yarn", "longrope")
BETA_FAST, BETA_SLOW = 32.0, 1.0
"""YaRN: rotations over the original context above which a pair is left alone, and below which it
is interpolated."""


@dataclass(frozen=True)
class RopeSettings:
    """The scaling that a file (or an option) asks for.

    Attributes:
        dimensions: of a head that are rotated.
        base: of the geometric series of angles.
        scaling: one of `SCALINGS`.
        factor: how many times longer the context became.
        original_context: of the training before the scaling.
        magnitude: the file's own factor of cosines and sines.
    """

    dimensions: int
    base: float
    scaling: str
    factor: float
    original_context: int
    magnitude: float

    @classmethod
    def read(cls, keys: Keys, head_dim: int, context_length: int) -> RopeSettings:
        """From metadata, with the defaults of the format."""
        dimensions = keys.count("rope.dimension_count", head_dim)
        if dimensions % 2 or dimensions > head_dim:
            raise InputError(
                f"rope.dimension_count is {dimensions}:"
                f" an even number up to the head's {head_dim} is needed"
            )
        factor = keys.number("rope.scaling.factor", 0.0, positive=False)
        if factor == 0:
            factor = keys.number("rope.scale_linear", 1.0)
        return cls(
            dimensions=dimensions,
            base=keys.number("rope.freq_base", 10000.0),
            scaling=keys.text("rope.scaling.type", "linear", SCALINGS),
            factor=factor,
            original_context=keys.count("rope.scaling.original_context_length", context_length),
            magnitude=keys.number("rope.scaling.attn_factor", 1.0),
        )

    def rotation(
        self, pairing: str, factors: Floats | None, *, whole_pairs: bool = True
    ) -> Rotation:
        """The angles per position; `factors` [dimensions / 2] divide them.

        YaRN's ramp begins and ends at whole pairs, unless a family has it otherwise.
        """
        pairs = np.arange(self.dimensions // 2)
        theta = self.base ** (-2.0 * pairs / self.dimensions)
        if factors is not None:
            theta = theta / np.asarray(factors, np.float64)
        magnitude = self.magnitude
        if self.scaling == "linear":
            theta = theta / self.factor
        elif self.scaling == "yarn":
            kept = self._extrapolated(pairs, whole_pairs)
            theta = theta / self.factor * (1 - kept) + theta * kept
            magnitude *= 1.0 + 0.1 * log(self.factor) if self.factor > 1 else 1.0
        return Rotation(pairing, self.dimensions, tuple(map(float, theta)), magnitude)

    def _extrapolated(self, pairs: NDArray[np.int64], whole: bool) -> Floats:
        """YaRN's ramp: 1 for pairs that turn often within the original context, 0 for slow ones."""

        def pair_with(rotations: float) -> float:
            turns = self.original_context / (2 * pi * rotations)
            return self.dimensions * log(turns) / (2 * log(self.base))

        low, high = pair_with(BETA_FAST), pair_with(BETA_SLOW)
        if whole:
            low, high = floor(low), ceil(high)
        low, high = max(0, low), min(self.dimensions - 1, high)
        ramp = (pairs - low) / max(0.001, high - low)
        kept: Floats = 1.0 - np.clip(ramp, 0.0, 1.0)
        return kept


def frequency_factors(tensors: Tensors, settings: RopeSettings, context: int) -> Floats | None:
    """The tensor that divides the angles, if the file has one.

    longrope's choice is made once, by the size of the context that was opened: long factors
    beyond the original one.
    """
    length = settings.dimensions // 2
    for name in ("rope_freqs.weight",):
        if tensors.has(name):
            return tensors.vector(name, length)
    kind = "long" if context > settings.original_context else "short"
    if settings.scaling == "longrope":
        return tensors.optional_vector(f"rope_factors_{kind}.weight", length)
    return None
