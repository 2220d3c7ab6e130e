"""How each quantised type falls out of its unpack, and so how it wants the activations.

A product works in steps of 256 weights. A type's `weights(p)` returns them as four vectors of
64 bytes in whatever order its bits make cheap; the activations, which are quantised once per
product, are written in that same order, so that no shuffle ever aligns the two. `dot4` adds
groups of four bytes to one of 16 lanes; vectors that share the meaning of their lanes (a
*chain*) are added into one accumulator before the scales are applied.

    chains = 1:  w0 w1 w2 w3 -> one accumulator,   scales s0
    chains = 2:  w0 w1 | w2 w3 -> two,             scales s0 s1
    chains = 4:  w0 | w1 | w2 | w3 -> four,        scales s0 s1 s2 s3

This module knows no arithmetic and imports no Numba: a plan needs only it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from zigllm_cli.simd.isa import is_centred, takes_words

STEP = 256
"""Weights per step, whatever the block size of the type."""


@dataclass(frozen=True)
class Layout:
    """The shape of one type's unpacked step and of the activations' record that meets it.

    Attributes:
        order: order[64 * vector + byte] is the place in the step of the weight in that byte.
        chains: accumulators per step (1, 2 or 4).
        group: weights that share a scale (16 or 32).
        most: the largest that `weights` returns; the activations depend on it only through
            `starts` and `words`, and no two layouts that are otherwise equal differ in those.
        offset: what `weights` adds to make them unsigned; the dot starts at -offset * sum(x).
        minima: for each of the 16 lanes of `minima(p)`, the group of activations whose sum it
            multiplies (in the step's natural order), -1 for none. Empty: the type has none.
        minima_group: activations per such group (16 or 32).
    """

    order: tuple[int, ...]
    chains: int
    group: int
    most: int = field(compare=False)
    offset: int = 0
    minima: tuple[int, ...] = ()
    minima_group: int = 32

    @property
    def vectors(self) -> int:
        """Vectors per chain."""
        return 4 // self.chains

    def vectors_of(self, chain: int) -> range:
        """The vectors of a chain."""
        return range(self.vectors * chain, self.vectors * (chain + 1))

    @property
    def lanes(self) -> int:
        """Lanes that share a scale, next to each other."""
        return self.group // (4 * self.vectors)

    @property
    def groups(self) -> int:
        """Scales per step."""
        return STEP // self.group

    @cached_property
    def lane_groups(self) -> tuple[tuple[int, ...], ...]:
        """For each chain and lane, which group of 32 activations its bytes come from."""
        first = [
            [self.order[64 * self.vectors * c + 4 * n] for n in range(16)]
            for c in range(self.chains)
        ]
        return tuple(tuple(place // 32 for place in lanes) for lanes in first)

    # The record of 256 activations: bytes, then per chain 16 scales, 16 starts, then the minima.
    @property
    def starts(self) -> bool:
        """Whether dots start at something: their weights are multiplied with the offset."""
        return bool(self.offset) and not is_centred(self.most)

    @property
    def scales_at(self) -> int:
        """Byte of a record where the activations' scales stand: f32 [chains, 16]."""
        return STEP

    @property
    def starts_at(self) -> int:
        """Byte where the dots' starts stand: i32 [chains, 16], if `starts`.

        The whole start of a group stands in its first lane, zeros in its others.
        """
        return self.scales_at + 64 * self.chains

    @property
    def minima_at(self) -> int:
        """Byte where -scale * sum of the minima's groups stand: f32 [16], if `minima`."""
        return self.starts_at + (64 * self.chains if self.starts else 0)

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return self.minima_at + (64 if self.minima else 0)

    @property
    def words(self) -> bool:
        """Whether panels of weights hold 16-bit words, and the records that meet them too."""
        return takes_words(self.most)

    @property
    def panel_record(self) -> int:
        """Bytes of a record that meets panels: if `words`, these and f32 [8] scales of 32 each.

        Types of words have neither starts nor minima.
        """
        return 2 * STEP + 64 if self.words else self.record


def _halves_of_four_blocks() -> tuple[int, ...]:
    """Blocks of 32 as 16 bytes of two nibbles, four blocks a vector: low halves, high halves."""
    return tuple(
        32 * (4 * chain + byte // 16) + 16 * high + byte % 16
        for chain in range(2)
        for high in range(2)
        for byte in range(64)
    )


def _q4_k() -> tuple[int, ...]:
    """Even sub-blocks (low nibbles) then odd ones, four lanes each, 16 weights a vector."""
    return tuple(
        32 * (2 * (byte // 16) + odd) + 16 * half + byte % 16
        for odd in range(2)
        for half in range(2)
        for byte in range(64)
    )


def two_bit_order(part: int) -> tuple[int, ...]:
    """`quants.two_bits`: in every lane of `part` bytes one of the four codes of its source."""
    order = []
    for vector in range(4):
        for byte in range(64):
            source = byte // (4 * part) * 4 * part + part * vector + byte % part
            code = byte // part % 4
            order.append(128 * (source // 32) + 32 * code + source % 32)
    return tuple(order)


def _q6_k() -> tuple[int, ...]:
    """Lane n holds group 4 * (n % 4) + n // 4, four weights in each vector."""
    return tuple(
        16 * (4 * (byte // 4 % 4) + byte // 16) + 4 * vector + byte % 4
        for vector in range(4)
        for byte in range(64)
    )


def _tq1_0() -> tuple[int, ...]:
    """Natural but for weights 128..159, whose digits are the fifth, which come behind."""
    return (*range(128), *range(160, 224), *range(128, 160), *range(224, 256))


def _q1_0() -> tuple[int, ...]:
    """Every four bytes of bits in two lanes: even bits, odd bits."""
    return tuple(
        32 * (byte // 8) + 8 * (byte % 4) + 2 * vector + byte // 4 % 2
        for vector in range(4)
        for byte in range(64)
    )


def _octets(per_group: int) -> tuple[int, ...]:
    """Octets of one group of scales above each other: in the same eight bytes of its vectors."""
    return tuple(
        64 * per_group * chain + 8 * per_group * eight + 8 * vector + byte
        for chain in range(4 // per_group)
        for vector in range(per_group)
        for eight in range(8)
        for byte in range(8)
    )


NATURAL = tuple(range(STEP))
HALVES = _halves_of_four_blocks()
QUARTETS = tuple(4 * byte + vector for vector in range(4) for byte in range(64))
SIXTEENS = two_bit_order(4)
EVEN_LANES = tuple(lane // 2 if lane % 2 == 0 else -1 for lane in range(16))

LAYOUTS: dict[str, Layout] = {
    "Q4_0": Layout(HALVES, chains=2, group=32, most=15, offset=8),
    "Q4_1": Layout(HALVES, chains=2, group=32, most=15, minima=EVEN_LANES),
    "Q5_0": Layout(HALVES, chains=2, group=32, most=31, offset=16),
    "Q5_1": Layout(HALVES, chains=2, group=32, most=31, minima=EVEN_LANES),
    "Q8_0": Layout(NATURAL, chains=4, group=32, most=255, offset=128),
    "Q2_K": Layout(SIXTEENS, chains=1, group=16, most=3, minima=tuple(range(16)), minima_group=16),
    "Q3_K": Layout(SIXTEENS, chains=1, group=16, most=7, offset=4),
    "Q4_K": Layout(_q4_k(), chains=2, group=32, most=15, minima=(-1,) * 8 + tuple(range(8))),
    "Q5_K": Layout(_q4_k(), chains=2, group=32, most=31, minima=(-1,) * 8 + tuple(range(8))),
    "Q6_K": Layout(_q6_k(), chains=1, group=16, most=63, offset=32),
    "IQ1_S": Layout(_octets(4), chains=1, group=32, most=18, offset=9),
    "IQ1_M": Layout(_octets(2), chains=2, group=16, most=18, offset=9),
    "IQ2_XXS": Layout(QUARTETS, chains=1, group=32, most=86, offset=43),
    "IQ2_XS": Layout(QUARTETS, chains=1, group=16, most=86, offset=43),
    "IQ2_S": Layout(QUARTETS, chains=1, group=16, most=86, offset=43),
    "IQ3_XXS": Layout(QUARTETS, chains=1, group=32, most=124, offset=62),
    "IQ3_S": Layout(QUARTETS, chains=1, group=32, most=30, offset=15),
    "IQ4_NL": Layout(HALVES, chains=2, group=32, most=241, offset=128),
    "IQ4_XS": Layout(HALVES, chains=2, group=32, most=241, offset=128),
    "TQ1_0": Layout(_tq1_0(), chains=4, group=32, most=2, offset=1),
    "TQ2_0": Layout(two_bit_order(8), chains=1, group=32, most=3, offset=1),
    "MXFP4": Layout(HALVES, chains=2, group=32, most=24, offset=12),
    "NVFP4": Layout(_octets(2), chains=2, group=16, most=24, offset=12),
    "Q1_0": Layout(_q1_0(), chains=1, group=32, most=2, offset=1),
    "Q2_0": Layout(QUARTETS, chains=1, group=32, most=3, offset=1),
}
"""By ggml name."""
