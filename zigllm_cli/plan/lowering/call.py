"""What lowering gives: calls of kernels, for a number of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from struct import pack, unpack

from zigllm_cli.jit import Kernel

SEVERAL, MANY = 9, 16
"""From so many tokens on a product unpacks its weights to panels; attention goes by prompts.

With AVX2, Q4_0 and Q4_K multiply 8 tokens as fast either way (48 to 51 G/s a core), 12 tokens by
panels (35 to 63) faster than row by row (30 to 34).
"""


class Mode(StrEnum):
    """How many tokens a lowered operation is for."""

    ONE = "one"
    FEW = "few"
    SEVERAL = "several"
    MANY = "many"

    @classmethod
    def of(cls, tokens: int) -> Mode:
        """The mode for this many tokens."""
        if tokens == 1:
            return cls.ONE
        return cls.FEW if tokens < SEVERAL else cls.SEVERAL if tokens < MANY else cls.MANY


@dataclass(frozen=True)
class Call:
    """One kernel and its arguments.

    Attributes:
        words: the argument block.
        label: what the profile calls it.
        weight_bytes: bytes of weights read.
        macs: multiply-adds per token.
        is_head: whether it works on selected rows only.
        barrier: whether later calls need what this one wrote.
    """

    kernel: Kernel
    words: tuple[int, ...]
    label: str
    detail: str = ""
    weight_bytes: int = 0
    macs: int = 0
    is_head: bool = False
    barrier: bool = True


def float_word(value: float) -> int:
    """The bits of a double, as kernels take floats."""
    return int(unpack("<q", pack("<d", value))[0])
